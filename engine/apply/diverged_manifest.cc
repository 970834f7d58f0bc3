#include "engine/apply/diverged_manifest.h"

#include <algorithm>
#include <map>

#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "engine/index/entry_codec.h"
#include "engine/model/hash.h"

namespace repl::apply::diverged {

namespace {

constexpr uint32_t frame_magic = 0x4D566C72;  // "rlVM"
constexpr size_t frame_head_bytes = 4 + 4 + 16;
constexpr uint8_t format_version = 1;

enum RecordKind : uint8_t { about_record = 1, item_record = 2, drop_record = 3, finish_record = 4 };
enum ItemParts : uint8_t { has_attributes = 1, has_object_part = 2 };
constexpr uint8_t known_item_parts = has_attributes | has_object_part;

Digest checksum(std::string_view record, uint64_t offset) {
  std::string placed;
  placed.reserve(8 + record.size());
  ByteWriter(placed).u64(offset);
  return hash_bytes(placed.append(record));
}

std::string record_of(RecordKind kind) {
  std::string record;
  ByteWriter(record).u8(kind);
  return record;
}

bool is_path(std::string_view path) {
  if (path.empty()) return true;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (!is_legal_name(path.substr(at, end - at))) return false;
    at = end + 1;
  }
  return true;
}

std::optional<About> decode_about(ByteReader in) {
  About about;
  if (in.u8() != format_version) return std::nullopt;
  about.tree = in.string();
  about.node = in.string();
  about.from_peer = in.string();
  about.reason = in.string();
  about.common_reign = Reign{in.bits()};
  about.common_cut.value = in.u64();
  about.unix_seconds = in.i64();
  if (!in.done()) return std::nullopt;
  return about;
}

std::optional<Item> decode_item(ByteReader in) {
  Item item;
  item.number = in.varint();
  const uint8_t change = in.u8();
  const uint8_t parts = in.u8();
  item.path = in.string();
  const std::optional<Key> key = decode_key(in.string());
  if (parts & has_attributes) {
    const std::optional<Entry> entry = decode_entry(in.string());
    if (!entry) return std::nullopt;
    item.attr = entry->attr;
    item.local = entry->local;
  }
  const bool sound = in.done() && item.number != 0 && item.number < UINT64_MAX && key &&
                     (parts & ~known_item_parts) == 0 && change >= 1 &&
                     change <= static_cast<uint8_t>(Change::displaced) && is_path(item.path);
  if (!sound) return std::nullopt;
  item.change = static_cast<Change>(change);
  item.key = *key;
  item.has_object = (parts & has_object_part) != 0;
  if (item.has_object && !item.attr) return std::nullopt;
  return item;
}

// Frames one after the other; what is between two of them is damage.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : bytes_(bytes) {}

  Manifest run() {
    bool in_damage = false;
    for (size_t at = 0; at < bytes_.size();) {
      const std::optional<std::string_view> record = frame_at(at);
      if (record && take(*record)) {
        if (in_damage) ++out_.damaged_frames;
        in_damage = false;
        at += frame_head_bytes + record->size();
        out_.whole_bytes = at;
        continue;
      }
      in_damage = true;
      at = next_magic(at + 1);
    }
    out_.torn_tail = out_.whole_bytes < bytes_.size();
    for (auto& [number, item] : items_) out_.items.push_back(std::move(item));
    return std::move(out_);
  }

 private:
  std::optional<std::string_view> frame_at(size_t at) const {
    ByteReader in(bytes_.substr(at));
    const uint32_t magic = in.u32();
    const uint32_t size = in.u32();
    const Digest sum{in.bits()};
    if (!in.ok() || magic != frame_magic || size > limits::diverged_record_bytes_max ||
        size > in.rest().size()) {
      return std::nullopt;
    }
    const std::string_view record = in.rest().substr(0, size);
    if (checksum(record, at) != sum) return std::nullopt;
    return record;
  }

  size_t next_magic(size_t from) const {
    std::string magic;
    ByteWriter(magic).u32(frame_magic);
    return std::min(bytes_.find(magic, from), bytes_.size());
  }

  bool take(std::string_view record) {
    ByteReader in(record);
    switch (in.u8()) {
      case about_record: {
        std::optional<About> about = decode_about(in);
        if (about) out_.about = std::move(about);
        return out_.about.has_value();
      }
      case item_record: {
        std::optional<Item> item = decode_item(in);
        if (!item) return false;
        out_.next_number = std::max(out_.next_number, item->number + 1);
        items_[item->number] = std::move(*item);
        return true;
      }
      case drop_record: {
        const uint64_t number = in.varint();
        if (!in.done() || number == UINT64_MAX) return false;
        items_.erase(number);
        out_.dropped.push_back(number);
        out_.next_number = std::max(out_.next_number, number + 1);
        return true;
      }
      case finish_record:
        out_.finished = out_.finished || in.done();
        return in.done();
      default:
        return false;
    }
  }

  std::string_view bytes_;
  Manifest out_;
  std::map<uint64_t, Item> items_;
};

}  // namespace

std::string encode_about(const About& about) {
  std::string record = record_of(about_record);
  ByteWriter out(record);
  out.u8(format_version);
  out.string(about.tree);
  out.string(about.node);
  out.string(about.from_peer);
  out.string(about.reason);
  out.bits(about.common_reign);
  out.u64(about.common_cut.value);
  out.i64(about.unix_seconds);
  return record;
}

std::string encode_item(const Item& item) {
  std::string record = record_of(item_record);
  ByteWriter out(record);
  out.varint(item.number);
  out.u8(static_cast<uint8_t>(item.change));
  uint8_t parts = item.attr ? has_attributes : 0;
  if (item.has_object) parts |= has_object_part;
  out.u8(parts);
  out.string(item.path);
  out.string(key_bytes(item.key));
  if (item.attr) out.string(encode_entry(Entry{.attr = *item.attr, .local = item.local}));
  return record;
}

std::string encode_drop(uint64_t number) {
  std::string record = record_of(drop_record);
  ByteWriter(record).varint(number);
  return record;
}

std::string encode_finish() { return record_of(finish_record); }

void append_frame(std::string& out, std::string_view record, uint64_t offset) {
  ByteWriter writer(out);
  writer.u32(frame_magic);
  writer.u32(static_cast<uint32_t>(record.size()));
  writer.bits(checksum(record, offset));
  out.append(record);
}

Manifest decode_manifest(std::string_view bytes) { return Decoder(bytes).run(); }

}  // namespace repl::apply::diverged
