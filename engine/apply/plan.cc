#include "engine/apply/plan.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/base/bytes.h"
#include "engine/index/entry_codec.h"
#include "engine/io/fs_ops.h"

namespace repl::apply {

namespace {

constexpr std::string_view magic = "repl plan 2\n";
constexpr uint8_t kind_put = 0;
constexpr uint8_t kind_remove = 1;
constexpr uint8_t kind_append = 2;
constexpr size_t piece_bytes = 1000;  // xfs: XFS_SYMLINK_MAXLEN is 1024
constexpr char first_piece = '1';
constexpr char later_piece = '2';
// A target has no NUL.
constexpr char escape_byte = '\1';
constexpr char escaped_nul = '\2';
constexpr char escaped_escape = '\3';

std::string without_nul(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 4);
  for (const char c : bytes) {
    if (c != '\0' && c != escape_byte) {
      out.push_back(c);
      continue;
    }
    out.push_back(escape_byte);
    out.push_back(c == '\0' ? escaped_nul : escaped_escape);
  }
  return out;
}

std::string with_nul(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != escape_byte || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    out.push_back(text[++i] == escaped_nul ? '\0' : escape_byte);
  }
  return out;
}

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

Result<std::vector<Slot>> write_plan(Staging& staging, const CutState& cut) {
  const std::string text = without_nul(encode(cut));
  std::vector<Slot> pieces;
  for (size_t at = 0; at < text.size(); at += piece_bytes) {
    const Slot slot{.dir = staging.plan_dir(), .name = staging.fresh_name()};
    const std::string target = (at == 0 ? first_piece : later_piece) + text.substr(at, piece_bytes);
    if (const Status made = io::make_symlink(slot.dir, slot.name, target); !made) {
      for (const Slot& piece : pieces) {
        if (const Status gone = io::unlink_at(piece.dir, piece.name); !gone)
          return fail(gone.error());
      }
      return fail(made.error());
    }
    pieces.push_back(slot);
  }
  return pieces;
}

Result<std::vector<PlannedKey>> read_plans(const Staging& staging) {
  const Result<std::vector<std::string>> names = plan_names(staging.plan_dir());
  if (!names) return fail(names.error());
  std::vector<PlannedKey> planned;
  std::string text;
  for (const std::string& name : *names) {
    const Result<std::string> piece = io::read_link(staging.plan_dir(), name);
    if (!piece && piece.error().code == ErrorCode::changed) continue;  // not ours
    if (!piece) return fail(piece.error());
    if (piece->starts_with(first_piece)) decode(with_nul(std::exchange(text, {})), planned);
    text += piece->substr(1);
  }
  decode(with_nul(text), planned);
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
