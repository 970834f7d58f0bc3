#include <algorithm>
#include <utility>

#include "engine/base/bytes.h"
#include "transport/codec.h"
#include "transport/codec_limits.h"
#include "transport/wire.pb.h"

namespace repl::transport {

namespace {

constexpr uint64_t file_bytes_max = INT64_MAX;  // off_t

// How many fields stand at the top level of a protobuf part. Each costs protobuf an object of its
// own while it is two bytes on the wire, so they are counted before it parses. False if it is not a
// sequence of fields.
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

// Converts and validates. The first violation is kept; what follows it is converted to harmless
// values.
class Decoder {
 public:
  explicit Decoder(std::string_view raw) : raw_(raw) {}

  [[nodiscard]] const char* violation() const {
    if (violation_ == nullptr && !raw_.empty()) return "bytes that belong to no record";
    return violation_;
  }
  void require(bool condition, const char* violation) {
    if (!condition && violation_ == nullptr) violation_ = violation;
  }

  std::string take_raw(size_t size) {
    require(size <= raw_.size(), "file bytes are missing");
    const std::string_view bytes = raw_.substr(0, size);
    raw_.remove_prefix(bytes.size());
    return std::string(bytes);
  }
  std::string take_raw() { return take_raw(raw_.size()); }

  template <typename T>
  T bits(const wire::Bits& in) {
    T out;
    out.high = in.high();
    out.low = in.low();
    return out;
  }
  StageId stage(const wire::Bits& in) {
    const auto id = bits<StageId>(in);
    require(id.is_set(), "a staged content without id");
    return id;
  }
  // The root's key is legal where the root's own attributes are meant.
  Key key_or_root(wire::Key* in) {
    Key key{DirId{in->dir()}, std::move(*in->mutable_name())};
    require(key.is_root() || (key.dir.is_set() && is_legal_name(key.name)), "an illegal name");
    return key;
  }
  Key key(wire::Key* in) {
    Key out = key_or_root(in);
    require(!out.is_root(), "the root where it cannot be");
    return out;
  }
  template <typename T>
  T enumeration(uint32_t value, T last) {
    require(value <= static_cast<uint32_t>(last), "an unknown enumeration value");
    return value <= static_cast<uint32_t>(last) ? static_cast<T>(value) : T{};
  }
  std::string text(std::string* in, size_t bytes_max) {
    require(in->size() <= bytes_max, "a text that is too long");
    return std::move(*in);
  }
  template <typename List>
  int count(const List& list, size_t items_max = records_max) {
    require(static_cast<size_t>(list.size()) <= items_max, "too many items in one message");
    return violation_ == nullptr ? list.size() : 0;
  }
  Position position(const wire::Position& in) {
    return {Epoch{in.epoch()}, bits<Reign>(in.reign()), CutNumber{in.cut()}};
  }
  Attributes attributes(wire::Attributes* in);
  KeyInfo info(wire::KeyInfo* in, bool named);
  Put put(wire::Put* in);
  Record record(wire::Record* in);
  void range(uint64_t offset, uint64_t length) {
    require(length > 0, "an empty range");
    require(offset <= file_bytes_max && length <= file_bytes_max - offset,
            "a range beyond what a file can be");
  }

 private:
  std::string_view raw_;
  const char* violation_ = nullptr;
};

Attributes Decoder::attributes(wire::Attributes* in) {
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

KeyInfo Decoder::info(wire::KeyInfo* in, bool named) {
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

Put Decoder::put(wire::Put* in) {
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

Record Decoder::record(wire::Record* in) {
  if (in->has_put()) return put(in->mutable_put());
  require(in->has_remove(), "a record of an unknown kind");
  Remove out;
  out.key = key(in->mutable_remove()->mutable_key());
  out.disown = in->remove().disown();
  return out;
}

// --- one function per message
// --------------------------------------------------------------------------------

Message convert(Decoder& d, wire::Hello& in) {
  Hello out;
  out.version = in.version();
  out.features = in.features();
  out.node = d.text(in.mutable_node(), label_bytes_max);
  out.tree = d.text(in.mutable_tree(), label_bytes_max);
  out.role = d.enumeration(in.role(), Role::secondary);
  out.position = d.position(in.position());
  out.epoch_seen = Epoch{in.epoch_seen()};
  const int steps = d.count(in.lineage(), limits::lineage_reigns_max);
  for (int i = 0; i < steps; ++i) {
    const wire::LineageStep& step = in.lineage(i);
    out.lineage.push_back(
        {d.bits<Reign>(step.reign()), Epoch{step.epoch()}, CutNumber{step.began_at()}});
  }
  out.policy = d.bits<Bits128>(in.policy());
  out.content = d.bits<Fingerprint>(in.content());
  out.identity = d.bits<Fingerprint>(in.identity());
  out.synced = in.synced();
  out.content_known = in.content_known();
  out.tree_empty = in.tree_empty();
  out.incomplete = in.incomplete();
  out.dirty_start = in.dirty_start();
  const int stages = d.count(in.stages());
  for (int i = 0; i < stages; ++i) {
    out.stages.push_back({d.stage(in.stages(i).stage()), in.stages(i).bytes()});
    d.require(out.stages.back().bytes <= file_bytes_max, "an impossible size");
  }
  return out;
}

Message convert(Decoder& d, wire::ListDirectories& in) {
  ListDirectories out;
  const int count = d.count(in.dirs());
  out.dirs.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    d.require(in.dirs(i) != 0, "a directory without id");
    out.dirs.push_back(DirId{in.dirs(i)});
  }
  return out;
}

Message convert(Decoder& d, wire::DirectoryListing& in) {
  DirectoryListing out;
  out.dir = DirId{in.dir()};
  d.require(out.dir.is_set(), "a directory without id");
  out.known = in.known();
  out.last = in.last();
  const int count = d.count(in.children());
  out.children.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) out.children.push_back(d.info(in.mutable_children(i), true));
  return out;
}

Message convert(Decoder& d, wire::AskKeys& in) {
  AskKeys out;
  const int count = d.count(in.keys());
  out.keys.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) out.keys.push_back(d.key_or_root(in.mutable_keys(i)));
  return out;
}

Message convert(Decoder& d, wire::KeysAnswer& in) {
  KeysAnswer out;
  const int keys = d.count(in.keys());
  const int infos = d.count(in.infos());
  d.require(keys == infos, "an answer of two lengths");
  out.keys.reserve(static_cast<size_t>(keys));
  out.infos.reserve(static_cast<size_t>(infos));
  for (int i = 0; i < keys; ++i) out.keys.push_back(d.key_or_root(in.mutable_keys(i)));
  for (int i = 0; i < infos; ++i) out.infos.push_back(d.info(in.mutable_infos(i), false));
  return out;
}

Message convert(Decoder& d, wire::AdoptIds& in) {
  AdoptIds out;
  const int count = d.count(in.items());
  out.items.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    wire::AdoptId* item = in.mutable_items(i);
    out.items.push_back(
        {d.key_or_root(item->mutable_key()), DirId{item->dir()}, LinkId{item->link()}});
  }
  return out;
}

Message convert(Decoder& d, wire::CutBegin& in) {
  return CutBegin{Epoch{in.epoch()}, d.bits<Reign>(in.reign()), CutNumber{in.cut()},
                  in.first_sync()};
}

Message convert(Decoder& d, wire::Records& in) {
  Records out;
  const int count = d.count(in.records());
  out.records.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) out.records.push_back(d.record(in.mutable_records(i)));
  return out;
}

Message convert(Decoder& d, wire::StageBegin& in) {
  StageBegin out;
  out.stage = d.stage(in.stage());
  out.size_hint = in.size_hint();
  out.base = d.key_or_root(in.mutable_base());
  out.base_digest = d.bits<Digest>(in.base_digest());
  out.resume_at = in.resume_at();
  d.require(out.size_hint <= file_bytes_max && out.resume_at <= file_bytes_max,
            "an impossible size");
  return out;
}

Message convert(Decoder& d, wire::StageData& in) {
  StageData out{d.stage(in.stage()), in.offset(), d.take_raw()};
  d.range(out.offset, out.bytes.size());
  d.require(out.bytes.size() <= limits::data_chunk_bytes_max, "a chunk that is too large");
  return out;
}

Message convert(Decoder& d, wire::StageHole& in) {
  d.range(in.offset(), in.length());
  return StageHole{d.stage(in.stage()), in.offset(), in.length()};
}

Message convert(Decoder& d, wire::StageCopy& in) {
  d.range(in.offset(), in.length());
  d.range(in.base_offset(), in.length());
  return StageCopy{d.stage(in.stage()), in.offset(), in.base_offset(), in.length()};
}

Message convert(Decoder& d, wire::StageEnd& in) {
  d.require(in.size() <= file_bytes_max, "an impossible size");
  return StageEnd{d.stage(in.stage()), in.size(), d.bits<Digest>(in.digest())};
}

Message convert(Decoder& d, wire::StageAbort& in) { return StageAbort{d.stage(in.stage())}; }

Message convert(Decoder& d, wire::CutEnd& in) {
  CutEnd out;
  out.cut = CutNumber{in.cut()};
  out.records = in.records();
  out.ordered = in.ordered();
  out.last = in.last();
  out.content = d.bits<Fingerprint>(in.content());
  out.content_known = in.content_known();
  return out;
}

Message convert(Decoder& d, wire::Ack& in) {
  Ack out;
  out.reign = d.bits<Reign>(in.reign());
  out.cut = CutNumber{in.cut()};
  out.level = d.enumeration(in.level(), AckLevel::durable);
  out.content = d.bits<Fingerprint>(in.content());
  out.content_known = in.content_known();
  out.held_keys = in.held_keys();
  return out;
}

Message convert(Decoder& d, wire::Refused& in) {
  return Refused{CutNumber{in.cut()}, d.key_or_root(in.mutable_key()), in.hold(),
                 d.text(in.mutable_reason(), reason_bytes_max)};
}

Message convert(Decoder& d, wire::SignatureRequest& in) {
  return SignatureRequest{d.key(in.mutable_key()), d.bits<Digest>(in.content()),
                          d.enumeration(in.kind(), SignatureKind::rolling)};
}

Message convert(Decoder& d, wire::Signature& in) {
  return Signature{d.key(in.mutable_key()), d.bits<Digest>(in.content()),
                   d.enumeration(in.kind(), SignatureKind::rolling), in.last(), d.take_raw()};
}

Message convert(Decoder&, wire::VerifyRequest& in) {
  return VerifyRequest{in.id(), in.full(), in.sha256()};
}

Message convert(Decoder& d, wire::VerifyReply& in) {
  VerifyReply out;
  out.id = in.id();
  out.position = d.position(in.position());
  out.content = d.bits<Fingerprint>(in.content());
  out.synced = in.synced();
  out.entries = in.entries();
  out.bytes_read = in.bytes_read();
  const int mismatches = d.count(in.mismatches());
  for (int i = 0; i < mismatches; ++i)
    out.mismatches.push_back(std::move(*in.mutable_mismatches(i)));
  out.sha256 = d.text(in.mutable_sha256(), 64);
  d.require(
      out.sha256.empty() || (out.sha256.size() == 64 &&
                             out.sha256.find_first_not_of("0123456789abcdef") == out.sha256.npos),
      "a malformed sha256");
  const int held = d.count(in.held());
  for (int i = 0; i < held; ++i) out.held.push_back(std::move(*in.mutable_held(i)));
  return out;
}

Message convert(Decoder& d, wire::PeerNotice& in) {
  return PeerNotice{d.text(in.mutable_hold(), reason_bytes_max), in.held_keys(),
                    d.text(in.mutable_error(), reason_bytes_max)};
}

Message convert(Decoder& d, wire::Bye& in) {
  return Bye{d.text(in.mutable_reason(), reason_bytes_max), in.retry()};
}

std::unexpected<Error> broken(std::string_view what, uint8_t kind) {
  return fail(
      ErrorCode::protocol,
      "broke the protocol: " + std::string(what) + " (message kind " + std::to_string(kind) + ")",
      Remedy::reconnect);
}

template <typename Part>
Result<Message> decode_as(uint8_t kind, std::string_view body, std::string_view raw) {
  google::protobuf::Arena arena;
  auto* part = google::protobuf::Arena::CreateMessage<Part>(&arena);
  if (!few_fields(body) || !part->ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return broken("an unreadable message", kind);
  }
  Decoder decoder(raw);
  Message message = convert(decoder, *part);
  if (decoder.violation() != nullptr) return broken(decoder.violation(), kind);
  return message;
}

}  // namespace

Result<Message> decode_message(uint8_t kind, std::string_view body, std::string_view raw) {
  if (body.size() > payload_bytes_max || raw.size() > payload_bytes_max - body.size()) {
    return broken("a frame that is too large", kind);
  }
  switch (kind) {
    case wire::KIND_HELLO:
      return decode_as<wire::Hello>(kind, body, raw);
    case wire::KIND_LIST_DIRECTORIES:
      return decode_as<wire::ListDirectories>(kind, body, raw);
    case wire::KIND_DIRECTORY_LISTING:
      return decode_as<wire::DirectoryListing>(kind, body, raw);
    case wire::KIND_ASK_KEYS:
      return decode_as<wire::AskKeys>(kind, body, raw);
    case wire::KIND_KEYS_ANSWER:
      return decode_as<wire::KeysAnswer>(kind, body, raw);
    case wire::KIND_ADOPT_IDS:
      return decode_as<wire::AdoptIds>(kind, body, raw);
    case wire::KIND_CUT_BEGIN:
      return decode_as<wire::CutBegin>(kind, body, raw);
    case wire::KIND_RECORDS:
      return decode_as<wire::Records>(kind, body, raw);
    case wire::KIND_STAGE_BEGIN:
      return decode_as<wire::StageBegin>(kind, body, raw);
    case wire::KIND_STAGE_DATA:
      return decode_as<wire::StageData>(kind, body, raw);
    case wire::KIND_STAGE_HOLE:
      return decode_as<wire::StageHole>(kind, body, raw);
    case wire::KIND_STAGE_COPY:
      return decode_as<wire::StageCopy>(kind, body, raw);
    case wire::KIND_STAGE_END:
      return decode_as<wire::StageEnd>(kind, body, raw);
    case wire::KIND_STAGE_ABORT:
      return decode_as<wire::StageAbort>(kind, body, raw);
    case wire::KIND_CUT_END:
      return decode_as<wire::CutEnd>(kind, body, raw);
    case wire::KIND_ACK:
      return decode_as<wire::Ack>(kind, body, raw);
    case wire::KIND_REFUSED:
      return decode_as<wire::Refused>(kind, body, raw);
    case wire::KIND_SIGNATURE_REQUEST:
      return decode_as<wire::SignatureRequest>(kind, body, raw);
    case wire::KIND_SIGNATURE:
      return decode_as<wire::Signature>(kind, body, raw);
    case wire::KIND_VERIFY_REQUEST:
      return decode_as<wire::VerifyRequest>(kind, body, raw);
    case wire::KIND_VERIFY_REPLY:
      return decode_as<wire::VerifyReply>(kind, body, raw);
    case wire::KIND_PEER_NOTICE:
      return decode_as<wire::PeerNotice>(kind, body, raw);
    case wire::KIND_BYE:
      return decode_as<wire::Bye>(kind, body, raw);
    default:
      return broken("an unknown kind of message", kind);
  }
}

}  // namespace repl::transport
