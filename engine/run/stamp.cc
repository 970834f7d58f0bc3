#include "engine/run/stamp.h"

#include "engine/base/bytes.h"
#include "engine/io/fs_ops.h"
#include "engine/model/hash.h"

namespace repl::run {

namespace {

constexpr std::string_view file_name = "stamp";
constexpr std::string_view record_meta = "stamp";
// The kernel writes back what is dirty within half a minute; what is older was there before.
constexpr int64_t unsynced_seconds_max = 600;
constexpr size_t value_bytes = 40;

void put(ByteWriter& out, const StampValue& value) {
  out.bits(value.position.reign);
  out.u64(value.position.epoch.value);
  out.u64(value.position.cut.value);
  out.i64(value.wall_s);
}

StampValue take(ByteReader& in) {
  StampValue value;
  value.position.reign = Reign{in.bits()};
  value.position.epoch = Epoch{in.u64()};
  value.position.cut = CutNumber{in.u64()};
  value.wall_s = in.i64();
  return value;
}

uint64_t checksum(std::string_view bytes) { return hash_bytes(bytes).low; }

std::optional<StampValue> read_file(int fd) {
  std::string bytes(value_bytes + 8, '\0');
  const Result<size_t> got = io::read_at(fd, 0, bytes.data(), bytes.size());
  if (!got || *got != bytes.size()) return std::nullopt;
  ByteReader in(bytes);
  const StampValue value = take(in);
  if (in.u64() != checksum(std::string_view(bytes).substr(0, value_bytes))) return std::nullopt;
  return value;
}

bool between(const StampRecord& record, const Position& at) {
  const Position& last = record.last.position;
  const Position& previous = record.previous.position;
  if (at.reign == last.reign && at.cut <= last.cut)
    return previous.reign != last.reign || at.cut >= previous.cut;
  return at.reign == previous.reign && at.cut >= previous.cut && at.cut <= last.cut;
}

}  // namespace

WentBack went_back(const StampRecord& record, const std::optional<StampValue>& file,
                   const Lineage& lineage, bool settled) {
  if (!file || between(record, file->position)) return WentBack::no;
  const bool newer = (file->position.reign == record.last.position.reign &&
                      file->position.cut > record.last.position.cut) ||
                     !role::has_reign(lineage, file->position.reign);
  if (newer) return WentBack::state;
  const bool old = file->wall_s + unsynced_seconds_max < record.last.wall_s;
  return settled || old ? WentBack::tree : WentBack::no;
}

void Stamp::open(int area, const Index& index) {
  area_ = area;
  if (const Result<Fd> file = io::open_read(area_, file_name)) written_ = read_file(file->get());
  const std::optional<std::string> value = index.meta(record_meta);
  if (!value) return;
  ByteReader in(*value);
  StampRecord record;
  record.last = take(in);
  record.previous = take(in);
  if (!in.done()) return;
  found_ = record;
  record_ = record;
}

// Nothing was recorded yet: there is nothing that could have gone.
WentBack Stamp::check(const role::NodeState& state, bool same_boot) const {
  if (!found_) return WentBack::no;
  return went_back(*found_, written_, state.lineage, state.clean_stop || same_boot);
}

void Stamp::record(Index& index, const Position& position, int64_t wall_s) {
  if (!position.reign.is_set()) return;
  record_.last = StampValue{.position = position, .wall_s = wall_s};
  record_.previous = written_.value_or(record_.last);
  std::string value;
  ByteWriter out(value);
  put(out, record_.last);
  put(out, record_.previous);
  index.put_meta(record_meta, value);
}

Status Stamp::committed(const StampValue& value) {
  if (!value.position.reign.is_set() || value == written_) return {};
  // Not kept open: who has a file open for writing keeps a filesystem from becoming read-only.
  Result<Fd> file = io::open_write(area_, file_name);
  if (!file && file.error().code == ErrorCode::not_found) file = io::create_file(area_, file_name);
  if (!file) return fail(file.error());
  std::string bytes;
  ByteWriter out(bytes);
  put(out, value);
  out.u64(checksum(bytes));
  if (Status s = io::write_at(file->get(), 0, bytes); !s) return s;
  written_ = value;
  return {};
}

}  // namespace repl::run
