#include "transport/field_reader.h"

#include "engine/base/bytes.h"

namespace repl::transport {

namespace {

// (string name, string value)*, strictly ascending by name, shortest lengths.
bool is_canonical_xattrs(std::string_view blob) {
  if (blob.size() > limits::xattrs_bytes_max) return false;
  ByteReader reader(blob);
  std::string again;
  ByteWriter writer(again);
  std::string_view previous;
  while (!reader.done()) {
    const std::string_view name = reader.string();
    const std::string_view value = reader.string();
    if (!reader.ok() || name.empty() || name.size() > limits::name_bytes_max) return false;
    if (name.find('\0') != std::string_view::npos || value.size() > xattr_value_bytes_max)
      return false;
    if (!previous.empty() && name <= previous) return false;
    writer.string(name);
    writer.string(value);
    previous = name;
  }
  return again == blob;
}

}  // namespace

bool few_fields(std::string_view part) {
  constexpr size_t fields_max = 2 * records_max + 64;
  ByteReader reader(part);
  for (size_t fields = 0; reader.ok() && !reader.done(); ++fields) {
    if (fields == fields_max) return false;
    switch (reader.varint() & 7) {
      case 0:
        reader.varint();
        break;
      case 1:
        reader.u64();
        break;
      case 2:
        reader.string();
        break;
      case 5:
        reader.u32();
        break;
      default:
        return false;  // groups do not exist here
    }
  }
  return reader.ok();
}

Attributes FieldReader::attributes(wire::Attributes* in) {
  Attributes out;
  out.type = enumeration(in->type(), FileType::block_device);
  require(out.type != FileType::none, "a record without a type");
  require(in->mode() <= 07777, "a mode beyond 07777");
  out.mode = static_cast<uint16_t>(in->mode() & 07777);
  out.uid = in->uid();
  out.gid = in->gid();
  out.owner = text(in->mutable_owner(), label_bytes_max);
  out.group = text(in->mutable_group(), label_bytes_max);
  out.mtime = {in->mtime_seconds(), in->mtime_nanoseconds()};
  require(out.mtime.nanoseconds < 1'000'000'000, "nanoseconds beyond a second");
  out.size = in->size();
  out.rdev = in->rdev();
  out.target = std::move(*in->mutable_target());
  out.xattrs = std::move(*in->mutable_xattrs());
  out.content = bits<Digest>(in->content());
  out.dir = DirId{in->dir()};
  out.link = LinkId{in->link()};
  out.link_names = in->link_names();
  out.transit = in->transit();

  const bool regular = out.type == FileType::regular;
  const bool directory = out.type == FileType::directory;
  const bool device = out.type == FileType::char_device || out.type == FileType::block_device;
  require(out.size <= file_bytes_max && (regular || out.size == 0), "an impossible size");
  require(device || out.rdev == 0, "a device number without a device");
  require(regular || !out.content.is_set(), "a content digest without a content");
  require(directory == out.dir.is_set(), "a directory id and a type that do not fit");
  require(!directory || !out.link.is_set(), "a hard-linked directory");
  require(directory || !out.transit, "a file on the way to others");
  require(out.link_names >= 1, "a file without a name");
  if (out.type == FileType::symlink) {
    require(!out.target.empty() && out.target.size() <= limits::symlink_target_bytes_max &&
                out.target.find('\0') == std::string::npos,
            "an illegal symlink target");
  } else {
    require(out.target.empty(), "a target without a symlink");
  }
  if (!out.xattrs.empty())
    require(is_canonical_xattrs(out.xattrs), "malformed extended attributes");
  return out;
}

KeyInfo FieldReader::info(wire::KeyInfo* in, bool named) {
  KeyInfo out;
  out.name = std::move(*in->mutable_name());
  require(named ? is_legal_name(out.name) : out.name.empty(), "an illegal name");
  out.type = enumeration(in->type(), FileType::block_device);
  out.hash = bits<Bits128>(in->hash());
  out.identity = bits<Bits128>(in->identity());
  out.content = bits<Digest>(in->content());
  out.size = in->size();
  require(out.size <= file_bytes_max, "an impossible size");
  out.dir = DirId{in->dir()};
  out.link = LinkId{in->link()};
  require(out.type == FileType::directory || !out.dir.is_set(),
          "a directory id without a directory");
  return out;
}

Put FieldReader::put(wire::Put* in) {
  Put out;
  out.key = key_or_root(in->mutable_key());
  out.attr = attributes(in->mutable_attr());
  const bool regular = out.attr.type == FileType::regular;
  if (out.key.is_root()) {
    require(out.attr.type == FileType::directory && out.attr.dir == root_dir,
            "a root that is not the root directory");
  } else {
    require(out.attr.dir != root_dir, "the root inside the tree");
  }
  switch (in->content_case()) {
    case wire::Put::kInlineBytes:
      require(regular && in->inline_bytes() <= limits::inline_bytes_max, "illegal inline bytes");
      out.content = ContentInline{take_raw(in->inline_bytes())};
      break;
    case wire::Put::kStaged:
      require(regular, "a staged content for what is not a file");
      out.content = ContentStaged{stage(in->staged())};
      break;
    case wire::Put::kCopy:
      require(regular, "a copied content for what is not a file");
      out.content = ContentCopy{key(in->mutable_copy())};
      break;
    case wire::Put::kLink:
      require(out.attr.type != FileType::directory, "a hard-linked directory");
      out.content = ContentLink{key(in->mutable_link())};
      break;
    case wire::Put::CONTENT_NOT_SET:
      break;
  }
  return out;
}

Record FieldReader::record(wire::Record* in) {
  if (in->has_put()) return put(in->mutable_put());
  require(in->has_remove(), "a record of an unknown kind");
  Remove out;
  out.key = key(in->mutable_remove()->mutable_key());
  out.disown = in->remove().disown();
  return out;
}

}  // namespace repl::transport
