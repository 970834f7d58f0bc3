#include "engine/index/entry_codec.h"

#include "engine/base/bytes.h"

namespace repl {

namespace {

constexpr uint8_t entry_version = 1;

// Which optional parts follow, in this order. Frozen.
enum : uint16_t {
  has_owner = 1 << 0,
  has_rdev = 1 << 1,
  has_target = 1 << 2,
  has_xattrs = 1 << 3,
  has_content = 1 << 4,
  has_dir = 1 << 5,
  has_link = 1 << 6,
  has_birth = 1 << 7,
  has_handle = 1 << 8,
  is_transit = 1 << 9,  // no bytes of its own
};
constexpr uint16_t known_parts = (1 << 10) - 1;

void write_time(ByteWriter& out, const Timestamp& time) {
  out.i64(time.seconds);
  out.u32(time.nanoseconds);
}
Timestamp read_time(ByteReader& in) {
  Timestamp time;
  time.seconds = in.i64();
  time.nanoseconds = in.u32();
  return time;
}

uint16_t parts_of(const Entry& entry) {
  const Attributes& a = entry.attr;
  unsigned parts = 0;
  if (!a.owner.empty() || !a.group.empty()) parts |= has_owner;
  if (a.rdev != 0) parts |= has_rdev;
  if (!a.target.empty()) parts |= has_target;
  if (!a.xattrs.empty()) parts |= has_xattrs;
  if (a.content.is_set()) parts |= has_content;
  if (a.dir.is_set()) parts |= has_dir;
  if (a.link.is_set() || a.link_names != 1) parts |= has_link;
  if (entry.local.birth != Timestamp{}) parts |= has_birth;
  if (!entry.local.handle.empty()) parts |= has_handle;
  if (a.transit) parts |= is_transit;
  return static_cast<uint16_t>(parts);
}

}  // namespace

std::string encode_entry(const Entry& entry) {
  const Attributes& a = entry.attr;
  const LocalStat& l = entry.local;
  const uint16_t parts = parts_of(entry);
  std::string bytes;
  bytes.reserve(96 + a.target.size() + a.xattrs.size() + l.handle.size());
  ByteWriter out(bytes);
  out.u8(entry_version);
  out.u8(static_cast<uint8_t>(a.type));
  out.u16(a.mode);
  out.u16(parts);
  out.varint(a.uid);
  out.varint(a.gid);
  out.varint(a.size);
  write_time(out, a.mtime);
  write_time(out, l.ctime);
  out.varint(l.inode);
  out.i64(l.seen_wall_ns);
  out.varint(entry.cut.value);
  if (parts & has_owner) {
    out.string(a.owner);
    out.string(a.group);
  }
  if (parts & has_rdev) out.varint(a.rdev);
  if (parts & has_target) out.string(a.target);
  if (parts & has_xattrs) out.string(a.xattrs);
  if (parts & has_content) out.bits(a.content);
  if (parts & has_dir) out.u64(a.dir.value);
  if (parts & has_link) {
    out.u64(a.link.value);
    out.varint(a.link_names);
  }
  if (parts & has_birth) write_time(out, l.birth);
  if (parts & has_handle) out.string(l.handle);
  return bytes;
}

std::optional<Entry> decode_entry(std::string_view bytes) {
  ByteReader in(bytes);
  if (in.u8() != entry_version) return std::nullopt;
  Entry entry;
  Attributes& a = entry.attr;
  LocalStat& l = entry.local;
  const uint8_t type = in.u8();
  if (type < 1 || type > static_cast<uint8_t>(FileType::block_device)) return std::nullopt;
  a.type = static_cast<FileType>(type);
  a.mode = in.u16();
  const uint16_t parts = in.u16();
  if ((parts & ~known_parts) != 0) return std::nullopt;
  const uint64_t uid = in.varint();
  const uint64_t gid = in.varint();
  a.uid = static_cast<uint32_t>(uid);
  a.gid = static_cast<uint32_t>(gid);
  a.size = in.varint();
  a.mtime = read_time(in);
  l.ctime = read_time(in);
  l.inode = in.varint();
  l.seen_wall_ns = in.i64();
  entry.cut.value = in.varint();
  a.transit = (parts & is_transit) != 0;
  if (parts & has_owner) {
    a.owner = in.string();
    a.group = in.string();
  }
  if (parts & has_rdev) a.rdev = in.varint();
  if (parts & has_target) a.target = in.string();
  if (parts & has_xattrs) a.xattrs = in.string();
  if (parts & has_content) a.content = Digest{in.bits()};
  if (parts & has_dir) a.dir.value = in.u64();
  uint64_t names = 1;
  if (parts & has_link) {
    a.link.value = in.u64();
    names = in.varint();
    a.link_names = static_cast<uint32_t>(names);
  }
  if (parts & has_birth) l.birth = read_time(in);
  if (parts & has_handle) l.handle = in.string();
  if (!in.done() || uid > UINT32_MAX || gid > UINT32_MAX || names > UINT32_MAX) return std::nullopt;
  if ((a.type == FileType::directory) != a.dir.is_set()) return std::nullopt;
  return entry;
}

std::string key_bytes(DirId dir, std::string_view name) {
  std::string bytes;
  bytes.reserve(8 + name.size());
  ByteWriter(bytes).key64(dir.value);
  return bytes.append(name);
}

std::string number_bytes(uint64_t number) {
  std::string bytes;
  ByteWriter(bytes).key64(number);
  return bytes;
}

std::string number_key_bytes(uint64_t number, const Key& key) {
  std::string bytes;
  bytes.reserve(16 + key.name.size());
  ByteWriter out(bytes);
  out.key64(number);
  out.key64(key.dir.value);
  return bytes.append(key.name);
}

std::string digest_bytes(const Digest& digest) {
  std::string bytes;
  ByteWriter out(bytes);
  out.key64(digest.high);
  out.key64(digest.low);
  return bytes;
}

std::string digest_key_bytes(const Digest& digest, const Key& key) {
  std::string bytes = digest_bytes(digest);
  bytes.reserve(24 + key.name.size());
  ByteWriter(bytes).key64(key.dir.value);
  return bytes.append(key.name);
}

std::optional<Key> decode_key(std::string_view bytes) {
  ByteReader in(bytes);
  Key key{.dir = DirId{in.key64()}, .name = {}};
  if (!in.ok()) return std::nullopt;
  key.name = in.rest();
  if (!key.is_root() && !is_legal_name(key.name)) return std::nullopt;
  return key;
}

std::optional<uint64_t> decode_number(std::string_view bytes) {
  ByteReader in(bytes);
  const uint64_t number = in.key64();
  if (!in.done()) return std::nullopt;
  return number;
}

}  // namespace repl
