#include "engine/apply/plan.h"

#include <algorithm>
#include <charconv>
#include <memory>

#include "engine/base/bytes.h"
#include "engine/index/entry_codec.h"
#include "engine/io/fs_ops.h"

namespace repl::apply {

namespace {

constexpr std::string_view magic = "repl plan 1\n";
constexpr uint8_t kind_put = 0;
constexpr uint8_t kind_remove = 1;
constexpr uint8_t kind_append = 2;
constexpr uint64_t plan_bytes_max = 4ull << 30;

std::string encode(const CutState& cut) {
  std::string out(magic);
  ByteWriter writer(out);
  for (const Item& item : cut.items) {
    if (item.dropped) continue;
    writer.u8(item.source == Source::append ? kind_append : kind_put);
    writer.string(key_bytes(item.key));
    Entry entry;
    entry.attr = item.attr;
    writer.string(encode_entry(entry));
  }
  for (const Remove& remove : cut.removes) {
    writer.u8(kind_remove);
    writer.string(key_bytes(remove.key));
  }
  return out;
}

void decode(std::string_view bytes, std::vector<PlannedKey>& out) {
  if (!bytes.starts_with(magic)) return;
  ByteReader reader(bytes.substr(magic.size()));
  while (reader.ok() && !reader.done()) {
    PlannedKey planned;
    const uint8_t kind = reader.u8();
    if (kind > kind_append) return;
    planned.removed = kind == kind_remove;
    planned.appends = kind == kind_append;
    const std::optional<Key> key = decode_key(reader.string());
    if (!planned.removed) {
      const std::optional<Entry> entry = decode_entry(reader.string());
      if (!entry) return;
      planned.attr = entry->attr;
    }
    if (!reader.ok() || !key) return;
    planned.key = *key;
    out.push_back(std::move(planned));
  }
}

Result<std::vector<std::string>> plan_names(int dir) {
  std::vector<std::pair<uint64_t, std::string>> numbered;
  const Status listed = io::list_dir(dir, [&](std::string_view name, FileType) {
    uint64_t number = 0;
    std::from_chars(name.data(), name.data() + name.size(), number, 16);
    numbered.emplace_back(number, name);
    return true;
  });
  if (!listed) return fail(listed.error());
  std::ranges::sort(numbered);
  std::vector<std::string> names;
  for (auto& [number, name] : numbered) names.push_back(std::move(name));
  return names;
}

}  // namespace

Result<Slot> write_plan(Staging& staging, const CutState& cut) {
  Slot slot{.dir = staging.plan_dir(), .name = staging.fresh_name()};
  const Result<Fd> file = io::create_file(slot.dir, slot.name);
  if (!file) return fail(file.error());
  if (const Status written = io::write_at(file->get(), 0, encode(cut)); !written) {
    if (const Status gone = io::unlink_at(slot.dir, slot.name); !gone) return fail(gone.error());
    return fail(written.error());
  }
  return slot;
}

Result<std::vector<PlannedKey>> read_plans(const Staging& staging) {
  const Result<std::vector<std::string>> names = plan_names(staging.plan_dir());
  if (!names) return fail(names.error());
  std::vector<PlannedKey> planned;
  for (const std::string& name : *names) {
    const Result<Fd> file = io::open_read(staging.plan_dir(), name);
    if (!file) return fail(file.error());
    const Result<io::Stat> stat = io::stat_fd(file->get());
    if (!stat) return fail(stat.error());
    std::string bytes(std::min<uint64_t>(stat->attr.size, plan_bytes_max), '\0');
    const Result<size_t> got = io::read_at(file->get(), 0, bytes.data(), bytes.size());
    if (!got) return fail(got.error());
    bytes.resize(*got);
    decode(bytes, planned);
  }
  return planned;
}

Status remove_plans(const Staging& staging) {
  const Result<std::vector<std::string>> names = plan_names(staging.plan_dir());
  if (!names) return fail(names.error());
  for (const std::string& name : *names) {
    if (const Status gone = io::unlink_at(staging.plan_dir(), name); !gone) return gone;
  }
  return {};
}

}  // namespace repl::apply
