#include <algorithm>
#include <utility>

#include "transport/codec.h"
#include "transport/codec_limits.h"
#include "transport/wire.pb.h"

namespace repl::transport {

namespace {

void put(wire::Bits* out, const Bits128& bits) {
  out->set_high(bits.high);
  out->set_low(bits.low);
}

void put(wire::Key* out, Key& key) {
  out->set_dir(key.dir.value);
  out->set_name(std::move(key.name));
}

void put(wire::Position* out, const Position& position) {
  out->set_epoch(position.epoch.value);
  put(out->mutable_reign(), position.reign);
  out->set_cut(position.cut.value);
}

void put(wire::Attributes* out, Attributes& attr) {
  out->set_type(static_cast<uint32_t>(attr.type));
  out->set_mode(attr.mode);
  out->set_uid(attr.uid);
  out->set_gid(attr.gid);
  if (!attr.owner.empty()) out->set_owner(std::move(attr.owner));
  if (!attr.group.empty()) out->set_group(std::move(attr.group));
  out->set_mtime_seconds(attr.mtime.seconds);
  out->set_mtime_nanoseconds(attr.mtime.nanoseconds);
  out->set_size(attr.size);
  out->set_rdev(attr.rdev);
  if (!attr.target.empty()) out->set_target(std::move(attr.target));
  if (!attr.xattrs.empty()) out->set_xattrs(std::move(attr.xattrs));
  if (attr.content.is_set()) put(out->mutable_content(), attr.content);
  out->set_dir(attr.dir.value);
  out->set_link(attr.link.value);
  out->set_link_names(attr.link_names);
  if (attr.transit) out->set_transit(true);
}

void put(wire::KeyInfo* out, KeyInfo& info) {
  if (!info.name.empty()) out->set_name(std::move(info.name));
  out->set_type(static_cast<uint32_t>(info.type));
  if (info.hash.is_set()) put(out->mutable_hash(), info.hash);
  if (info.identity.is_set()) put(out->mutable_identity(), info.identity);
  if (info.content.is_set()) put(out->mutable_content(), info.content);
  out->set_size(info.size);
  out->set_dir(info.dir.value);
  out->set_link(info.link.value);
}

std::string cut_off(std::string text) {
  if (text.size() > reason_bytes_max) text.resize(reason_bytes_max);
  return text;
}

// One overload per message: fills the protobuf part and moves file bytes into `payload.raw`.
class Encoder {
 public:
  explicit Encoder(Payload& payload) : payload_(payload) {}

  void operator()(Hello& in) {
    wire::Hello out;
    out.set_version(in.version);
    out.set_features(in.features);
    out.set_node(std::move(in.node));
    out.set_tree(std::move(in.tree));
    out.set_role(static_cast<uint32_t>(in.role));
    put(out.mutable_position(), in.position);
    out.set_epoch_seen(in.epoch_seen.value);
    for (const LineageStep& step : in.lineage) {
      wire::LineageStep* item = out.add_lineage();
      put(item->mutable_reign(), step.reign);
      item->set_epoch(step.epoch.value);
      item->set_began_at(step.began_at.value);
    }
    put(out.mutable_policy(), in.policy);
    put(out.mutable_content(), in.content);
    put(out.mutable_identity(), in.identity);
    out.set_synced(in.synced);
    out.set_content_known(in.content_known);
    out.set_tree_empty(in.tree_empty);
    out.set_incomplete(in.incomplete);
    out.set_catch_up(in.catch_up);
    out.set_drifted(in.drifted);
    for (const StageProgress& stage : in.stages) {
      wire::StageProgress* item = out.add_stages();
      put(item->mutable_stage(), stage.stage);
      item->set_bytes(stage.bytes);
    }
    finish(wire::KIND_HELLO, out, std::max(in.lineage.size(), in.stages.size()));
  }
  void operator()(ListDirectories& in) {
    wire::ListDirectories out;
    for (const DirId dir : in.dirs) out.add_dirs(dir.value);
    out.set_diff(in.diff);
    finish(wire::KIND_LIST_DIRECTORIES, out, in.dirs.size());
  }
  void operator()(DirectoryListing& in) {
    wire::DirectoryListing out;
    out.set_dir(in.dir.value);
    out.set_known(in.known);
    out.set_last(in.last);
    for (KeyInfo& child : in.children) put(out.add_children(), child);
    out.set_diff(in.diff);
    finish(wire::KIND_DIRECTORY_LISTING, out, in.children.size());
  }
  void operator()(AskKeys& in) {
    wire::AskKeys out;
    for (Key& key : in.keys) put(out.add_keys(), key);
    out.set_diff(in.diff);
    finish(wire::KIND_ASK_KEYS, out, in.keys.size());
  }
  void operator()(KeysAnswer& in) {
    wire::KeysAnswer out;
    for (Key& key : in.keys) put(out.add_keys(), key);
    for (KeyInfo& info : in.infos) put(out.add_infos(), info);
    out.set_diff(in.diff);
    finish(wire::KIND_KEYS_ANSWER, out, std::max(in.keys.size(), in.infos.size()));
  }
  void operator()(AdoptIds& in) {
    wire::AdoptIds out;
    for (AdoptIds::Item& item : in.items) {
      wire::AdoptId* to = out.add_items();
      put(to->mutable_key(), item.key);
      to->set_dir(item.dir.value);
      to->set_link(item.link.value);
    }
    finish(wire::KIND_ADOPT_IDS, out, in.items.size());
  }
  void operator()(CutBegin& in) {
    wire::CutBegin out;
    out.set_epoch(in.epoch.value);
    put(out.mutable_reign(), in.reign);
    out.set_cut(in.cut.value);
    out.set_first_sync(in.first_sync);
    finish(wire::KIND_CUT_BEGIN, out);
  }
  void operator()(Records& in) {
    google::protobuf::Arena arena;
    auto& out = *google::protobuf::Arena::CreateMessage<wire::Records>(&arena);
    out.mutable_records()->Reserve(static_cast<int>(std::min(in.records.size(), records_max)));
    for (Record& record : in.records) {
      if (auto* remove = std::get_if<Remove>(&record)) {
        wire::Remove* to = out.add_records()->mutable_remove();
        put(to->mutable_key(), remove->key);
        to->set_disown(remove->disown);
      } else {
        put_record(out.add_records()->mutable_put(), std::get<Put>(record));
      }
    }
    finish(wire::KIND_RECORDS, out, in.records.size());
  }
  void operator()(StageBegin& in) {
    wire::StageBegin out;
    put(out.mutable_stage(), in.stage);
    out.set_size_hint(in.size_hint);
    put(out.mutable_base(), in.base);
    put(out.mutable_base_digest(), in.base_digest);
    out.set_resume_at(in.resume_at);
    finish(wire::KIND_STAGE_BEGIN, out);
  }
  void operator()(StageData& in) {
    wire::StageData out;
    put(out.mutable_stage(), in.stage);
    out.set_offset(in.offset);
    if (in.bytes.size() > limits::data_chunk_bytes_max) too_large_ = true;
    raw(std::move(in.bytes));
    finish(wire::KIND_STAGE_DATA, out);
  }
  void operator()(StageHole& in) {
    wire::StageHole out;
    put(out.mutable_stage(), in.stage);
    out.set_offset(in.offset);
    out.set_length(in.length);
    finish(wire::KIND_STAGE_HOLE, out);
  }
  void operator()(StageCopy& in) {
    wire::StageCopy out;
    put(out.mutable_stage(), in.stage);
    out.set_offset(in.offset);
    out.set_base_offset(in.base_offset);
    out.set_length(in.length);
    finish(wire::KIND_STAGE_COPY, out);
  }
  void operator()(StageEnd& in) {
    wire::StageEnd out;
    put(out.mutable_stage(), in.stage);
    out.set_size(in.size);
    put(out.mutable_digest(), in.digest);
    finish(wire::KIND_STAGE_END, out);
  }
  void operator()(StageAbort& in) {
    wire::StageAbort out;
    put(out.mutable_stage(), in.stage);
    finish(wire::KIND_STAGE_ABORT, out);
  }
  void operator()(CutEnd& in) {
    wire::CutEnd out;
    out.set_cut(in.cut.value);
    out.set_records(in.records);
    out.set_ordered(in.ordered);
    out.set_last(in.last);
    put(out.mutable_content(), in.content);
    out.set_content_known(in.content_known);
    out.set_settled(in.settled);
    out.set_loose(in.loose);
    finish(wire::KIND_CUT_END, out);
  }
  void operator()(Ack& in) {
    wire::Ack out;
    put(out.mutable_reign(), in.reign);
    out.set_cut(in.cut.value);
    out.set_level(static_cast<uint32_t>(in.level));
    put(out.mutable_content(), in.content);
    out.set_content_known(in.content_known);
    out.set_held_keys(in.held_keys);
    out.set_ends(in.ends);
    put(out.mutable_identity(), in.identity);
    finish(wire::KIND_ACK, out);
  }
  void operator()(Refused& in) {
    wire::Refused out;
    out.set_cut(in.cut.value);
    put(out.mutable_key(), in.key);
    out.set_hold(in.hold);
    out.set_reason(cut_off(std::move(in.reason)));
    finish(wire::KIND_REFUSED, out);
  }
  void operator()(SignatureRequest& in) {
    wire::SignatureRequest out;
    put(out.mutable_key(), in.key);
    put(out.mutable_content(), in.content);
    out.set_kind(static_cast<uint32_t>(in.kind));
    finish(wire::KIND_SIGNATURE_REQUEST, out);
  }
  void operator()(Signature& in) {
    wire::Signature out;
    put(out.mutable_key(), in.key);
    put(out.mutable_content(), in.content);
    out.set_kind(static_cast<uint32_t>(in.kind));
    out.set_last(in.last);
    raw(std::move(in.bytes));
    finish(wire::KIND_SIGNATURE, out);
  }
  void operator()(VerifyRequest& in) {
    wire::VerifyRequest out;
    out.set_id(in.id);
    out.set_full(in.full);
    out.set_sha256(in.sha256);
    finish(wire::KIND_VERIFY_REQUEST, out);
  }
  void operator()(VerifyReply& in) {
    wire::VerifyReply out;
    out.set_id(in.id);
    put(out.mutable_position(), in.position);
    put(out.mutable_content(), in.content);
    out.set_synced(in.synced);
    out.set_entries(in.entries);
    out.set_bytes_read(in.bytes_read);
    for (std::string& path : in.mismatches) out.add_mismatches(std::move(path));
    out.set_sha256(std::move(in.sha256));
    for (std::string& path : in.held) out.add_held(std::move(path));
    finish(wire::KIND_VERIFY_REPLY, out, std::max(in.mismatches.size(), in.held.size()));
  }
  void operator()(PeerNotice& in) {
    wire::PeerNotice out;
    out.set_hold(cut_off(std::move(in.hold)));
    out.set_held_keys(in.held_keys);
    out.set_error(cut_off(std::move(in.error)));
    finish(wire::KIND_PEER_NOTICE, out);
  }
  void operator()(Bye& in) {
    wire::Bye out;
    out.set_reason(cut_off(std::move(in.reason)));
    out.set_retry(in.retry);
    finish(wire::KIND_BYE, out);
  }
  void operator()(Handover& in) {
    wire::Handover out;
    out.set_kind(static_cast<uint32_t>(in.kind));
    put(out.mutable_token(), in.token);
    put(out.mutable_reign(), in.reign);
    out.set_epoch(in.epoch.value);
    out.set_cut(in.cut.value);
    if (in.content.is_set()) put(out.mutable_content(), in.content);
    if (in.identity.is_set()) put(out.mutable_identity(), in.identity);
    out.set_reason(cut_off(std::move(in.reason)));
    finish(wire::KIND_HANDOVER, out);
  }

  [[nodiscard]] bool fits() const { return !too_large_ && payload_.size() <= payload_bytes_max; }

 private:
  void raw(std::string bytes) {
    if (bytes.empty()) return;
    payload_.raw_bytes += bytes.size();
    payload_.raw.push_back(std::move(bytes));
  }
  void put_record(wire::Put* to, Put& from) {
    put(to->mutable_key(), from.key);
    put(to->mutable_attr(), from.attr);
    if (auto* whole = std::get_if<ContentInline>(&from.content)) {
      if (whole->bytes.size() > limits::inline_bytes_max) too_large_ = true;
      to->set_inline_bytes(static_cast<uint32_t>(whole->bytes.size()));
      raw(std::move(whole->bytes));
    } else if (auto* staged = std::get_if<ContentStaged>(&from.content)) {
      put(to->mutable_staged(), staged->stage);
    } else if (auto* copy = std::get_if<ContentCopy>(&from.content)) {
      put(to->mutable_copy(), copy->from);
    } else if (auto* link = std::get_if<ContentLink>(&from.content)) {
      put(to->mutable_link(), link->to);
    }
  }
  template <typename Part>
  void finish(wire::Kind kind, const Part& part, size_t count = 0) {
    payload_.kind = static_cast<uint8_t>(kind);
    if (count > records_max || part.ByteSizeLong() > payload_bytes_max) {
      too_large_ = true;
      return;
    }
    part.SerializeToString(&payload_.body);
  }

  Payload& payload_;
  bool too_large_ = false;
};

}  // namespace

Result<Payload> encode_message(Message message) {
  Payload payload;
  Encoder encoder(payload);
  std::visit(encoder, message);
  if (!encoder.fits()) {
    return fail(ErrorCode::limit,
                "a message is larger than a frame may be (kind " + std::to_string(payload.kind) +
                    "); please report this as a bug of repl",
                Remedy::reconnect);
  }
  return payload;
}

}  // namespace repl::transport
