#include <utility>

#include "transport/codec.h"
#include "transport/codec_limits.h"
#include "transport/field_reader.h"
#include "transport/wire.pb.h"

namespace repl::transport {

namespace {

Message convert(FieldReader& d, wire::Hello& in) {
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
  out.catch_up = in.catch_up();
  out.drifted = in.drifted();
  const int stages = d.count(in.stages());
  for (int i = 0; i < stages; ++i) {
    out.stages.push_back({d.stage(in.stages(i).stage()), in.stages(i).bytes()});
    d.require(out.stages.back().bytes <= file_bytes_max, "an impossible size");
  }
  return out;
}

Message convert(FieldReader& d, wire::ListDirectories& in) {
  ListDirectories out;
  const int count = d.count(in.dirs());
  out.dirs.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    d.require(in.dirs(i) != 0, "a directory without id");
    out.dirs.push_back(DirId{in.dirs(i)});
  }
  out.diff = in.diff();
  return out;
}

Message convert(FieldReader& d, wire::DirectoryListing& in) {
  DirectoryListing out;
  out.dir = DirId{in.dir()};
  d.require(out.dir.is_set(), "a directory without id");
  out.known = in.known();
  out.last = in.last();
  const int count = d.count(in.children());
  out.children.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) out.children.push_back(d.info(in.mutable_children(i), true));
  out.diff = in.diff();
  return out;
}

Message convert(FieldReader& d, wire::AskKeys& in) {
  AskKeys out;
  const int count = d.count(in.keys());
  out.keys.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) out.keys.push_back(d.key_or_root(in.mutable_keys(i)));
  out.diff = in.diff();
  return out;
}

Message convert(FieldReader& d, wire::KeysAnswer& in) {
  KeysAnswer out;
  const int keys = d.count(in.keys());
  const int infos = d.count(in.infos());
  d.require(keys == infos, "an answer of two lengths");
  out.keys.reserve(static_cast<size_t>(keys));
  out.infos.reserve(static_cast<size_t>(infos));
  for (int i = 0; i < keys; ++i) out.keys.push_back(d.key_or_root(in.mutable_keys(i)));
  for (int i = 0; i < infos; ++i) out.infos.push_back(d.info(in.mutable_infos(i), false));
  out.diff = in.diff();
  return out;
}

Message convert(FieldReader& d, wire::AdoptIds& in) {
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

Message convert(FieldReader& d, wire::CutBegin& in) {
  return CutBegin{Epoch{in.epoch()}, d.bits<Reign>(in.reign()), CutNumber{in.cut()},
                  in.first_sync()};
}

Message convert(FieldReader& d, wire::Records& in) {
  Records out;
  const int count = d.count(in.records());
  out.records.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) out.records.push_back(d.record(in.mutable_records(i)));
  return out;
}

Message convert(FieldReader& d, wire::StageBegin& in) {
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

Message convert(FieldReader& d, wire::StageData& in) {
  StageData out{d.stage(in.stage()), in.offset(), d.take_raw()};
  d.range(out.offset, out.bytes.size());
  d.require(out.bytes.size() <= limits::data_chunk_bytes_max, "a chunk that is too large");
  return out;
}

Message convert(FieldReader& d, wire::StageHole& in) {
  d.range(in.offset(), in.length());
  return StageHole{d.stage(in.stage()), in.offset(), in.length()};
}

Message convert(FieldReader& d, wire::StageCopy& in) {
  d.range(in.offset(), in.length());
  d.range(in.base_offset(), in.length());
  return StageCopy{d.stage(in.stage()), in.offset(), in.base_offset(), in.length()};
}

Message convert(FieldReader& d, wire::StageEnd& in) {
  d.require(in.size() <= file_bytes_max, "an impossible size");
  return StageEnd{d.stage(in.stage()), in.size(), d.bits<Digest>(in.digest())};
}

Message convert(FieldReader& d, wire::StageAbort& in) { return StageAbort{d.stage(in.stage())}; }

Message convert(FieldReader& d, wire::CutEnd& in) {
  CutEnd out;
  out.cut = CutNumber{in.cut()};
  out.records = in.records();
  out.ordered = in.ordered();
  out.last = in.last();
  out.content = d.bits<Fingerprint>(in.content());
  out.content_known = in.content_known();
  out.settled = in.settled();
  out.loose = in.loose();
  return out;
}

Message convert(FieldReader& d, wire::Ack& in) {
  Ack out;
  out.reign = d.bits<Reign>(in.reign());
  out.cut = CutNumber{in.cut()};
  out.level = d.enumeration(in.level(), AckLevel::durable);
  out.content = d.bits<Fingerprint>(in.content());
  out.content_known = in.content_known();
  out.held_keys = in.held_keys();
  out.ends = in.ends();
  out.identity = d.bits<Fingerprint>(in.identity());
  return out;
}

Message convert(FieldReader& d, wire::Refused& in) {
  return Refused{CutNumber{in.cut()}, d.key_or_root(in.mutable_key()), in.hold(),
                 d.text(in.mutable_reason(), reason_bytes_max)};
}

Message convert(FieldReader& d, wire::SignatureRequest& in) {
  return SignatureRequest{d.key(in.mutable_key()), d.bits<Digest>(in.content()),
                          d.enumeration(in.kind(), SignatureKind::rolling)};
}

Message convert(FieldReader& d, wire::Signature& in) {
  return Signature{d.key(in.mutable_key()), d.bits<Digest>(in.content()),
                   d.enumeration(in.kind(), SignatureKind::rolling), in.last(), d.take_raw()};
}

Message convert(FieldReader&, wire::VerifyRequest& in) {
  return VerifyRequest{in.id(), in.full(), in.sha256()};
}

Message convert(FieldReader& d, wire::VerifyReply& in) {
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

Message convert(FieldReader& d, wire::PeerNotice& in) {
  return PeerNotice{d.text(in.mutable_hold(), reason_bytes_max), in.held_keys(),
                    d.text(in.mutable_error(), reason_bytes_max)};
}

Message convert(FieldReader& d, wire::Bye& in) {
  return Bye{d.text(in.mutable_reason(), reason_bytes_max), in.retry()};
}

Message convert(FieldReader& d, wire::Handover& in) {
  Handover out;
  out.kind = d.enumeration(in.kind(), HandoverKind::abort);
  out.token = d.bits<Bits128>(in.token());
  d.require(out.token.is_set(), "a switchover without token");
  out.reign = d.bits<Reign>(in.reign());
  d.require(out.reign.is_set(), "a switchover without reign");
  out.epoch = Epoch{in.epoch()};
  out.cut = CutNumber{in.cut()};
  out.content = d.bits<Fingerprint>(in.content());
  out.identity = d.bits<Fingerprint>(in.identity());
  out.reason = d.text(in.mutable_reason(), reason_bytes_max);
  return out;
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
  FieldReader reader(raw);
  Message message = convert(reader, *part);
  if (reader.violation() != nullptr) return broken(reader.violation(), kind);
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
    case wire::KIND_HANDOVER:
      return decode_as<wire::Handover>(kind, body, raw);
    default:
      return broken("an unknown kind of message", kind);
  }
}

}  // namespace repl::transport
