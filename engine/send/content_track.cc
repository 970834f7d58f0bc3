#include "engine/send/content_track.h"

#include <algorithm>
#include <utility>

#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "engine/model/hash.h"
#include "engine/send/choice.h"

namespace repl::send {

namespace {

size_t signature_bytes_max_of(SignatureKind kind) {
  return kind == SignatureKind::rolling ? limits::signature_bytes_max
                                        : limits::block_table_bytes_max;
}

}  // namespace

void ContentTrack::add(Work work) {
  Pending& pending = pending_.emplace_back();
  pending.work = std::move(work);
}

void ContentTrack::rest(Work work) {
  ++work.torn_reads;
  Pending& pending = pending_.emplace_back();
  pending.work = std::move(work);
  pending.state = Pending::State::resting;
}

void ContentTrack::wake_resting() {
  for (Pending& pending : pending_) {
    if (pending.state == Pending::State::resting) pending.state = Pending::State::fresh;
  }
}

int ContentTrack::torn_reads() const {
  int most = 0;
  for (const Pending& pending : pending_) {
    if (pending.state == Pending::State::resting) most = std::max(most, pending.work.torn_reads);
  }
  return most;
}

Work* ContentTrack::find(const std::function<bool(const Work&)>& is) {
  if (streaming_ && is(*streaming_)) return &*streaming_;
  const auto at = std::ranges::find_if(pending_, [&](const Pending& p) { return is(p.work); });
  return at == pending_.end() ? nullptr : &at->work;
}

ContentStreamer* ContentTrack::stream_of(const Work& work) const {
  return streaming_ && &work == &*streaming_ ? streamer_.get() : nullptr;
}

void ContentTrack::renamed(Work& work, const Key& to) {
  if (ContentStreamer* streamer = stream_of(work)) streamer->renamed(to);
  for (Pending& pending : pending_) {
    if (&pending.work == &work) pending.plan.key = to;
  }
  work.key = to;
}

Work ContentTrack::cancel(const Key& key) {
  Work out;
  if (streaming_ && streaming_->key == key) {
    if (streamer_->begun()) parts_.emit(StageAbort{.stage = streamer_->plan().stage}, lane_);
    out = std::move(*streaming_);
    streaming_.reset();
    streamer_.reset();
    end_.reset();
    return out;
  }
  const auto at = std::ranges::find_if(pending_, [&](const auto& p) { return p.work.key == key; });
  if (at == pending_.end()) return out;
  out = std::move(at->work);
  pending_.erase(at);
  return out;
}

ContentTrack::Drain ContentTrack::drain() {
  if (!streamer_) return begin_next();
  if (end_) return lane_ == Lane::bulk || parts_.drained() ? Drain::complete : Drain::waiting;
  return step_stream();
}

// The first few are prepared at once, so that their signatures travel while another is streamed.
ContentTrack::Drain ContentTrack::begin_next() {
  auto ready = pending_.end();
  size_t seen = 0;
  for (auto at = pending_.begin(); at != pending_.end(); ++at) {
    if (at->state == Pending::State::resting) continue;
    if (++seen > limits::rolling_signatures_max) break;
    if (at->state == Pending::State::fresh) prepare(*at);
    if (at->state == Pending::State::ready && ready == pending_.end()) ready = at;
  }
  if (ready == pending_.end()) return pending_.empty() ? Drain::idle : Drain::waiting;
  Pending next = std::move(*ready);
  pending_.erase(ready);
  start_stream(std::move(next));
  return Drain::more;
}

ContentTrack::Drain ContentTrack::step_stream() {
  if (parts_.room(lane_) == 0) return Drain::waiting;
  const auto emit = [this](Message message) {
    if (const auto* end = std::get_if<StageEnd>(&message))
      end_ = *end;
    else
      parts_.emit(std::move(message), lane_);
  };
  const auto step = streamer_->step(limits::stream_step_bytes, emit);
  end_stream(step);
  return Drain::more;
}

void ContentTrack::end_stream(ContentStreamer::Step step) {
  using Step = ContentStreamer::Step;
  if (step == Step::more || step == Step::done) return;
  const std::unique_ptr<ContentStreamer> streamer = std::move(streamer_);
  Work work = std::move(*streaming_);
  streaming_.reset();
  if (step == Step::torn)
    rest(std::move(work));
  else if (step == Step::unlike)
    search(std::move(work), streamer->plan());
  else
    parts_.failed(std::move(work), streamer->error());
}

// Again from its beginning, with a search.
void ContentTrack::search(Work work, const StreamPlan& aligned) {
  Pending& pending = pending_.emplace_front();
  pending.work = std::move(work);
  pending.table = aligned.base_table;
  request(pending, SignatureKind::rolling);
}

void ContentTrack::put_complete() {
  parts_.emit(*std::exchange(end_, std::nullopt), Lane::bulk);
  std::unique_ptr<ContentStreamer> streamer = std::move(streamer_);
  Work work = std::move(*streaming_);
  streaming_.reset();
  parts_.finished(std::move(work), std::move(streamer));
}

// How much stays where it is: exact from the index's table of the new content, else from samples.
// Nothing when the file cannot be read.
std::optional<delta::Overlap> ContentTrack::overlap(const Pending& pending, ContentHandle& handle) {
  const Work& work = pending.work;
  const uint64_t size = handle.opened().attr.size;
  if (work.attr.content.is_set() && work.attr.size == size) {
    if (const auto target = parts_.index.block_table(work.attr.content)) {
      return delta::overlap_of(*pending.table, *target, work.base_size, size);
    }
  }
  return overlap_with(handle, *pending.table, work.base_size);
}

void ContentTrack::request(Pending& pending, SignatureKind kind) {
  pending.state = Pending::State::asked;
  pending.asked = kind;
  pending.received.clear();
  parts_.ask(
      SignatureRequest{.key = pending.work.base_key, .content = pending.work.base, .kind = kind});
}

void ContentTrack::find_table(Pending& pending) {
  const Work& work = pending.work;
  if (pending.table) return;
  const StreamedContent* before = parts_.streamed.find(work.base_key);
  if (before != nullptr && before->content == work.base) {
    pending.table = before->blocks;
  } else {
    pending.table = parts_.index.block_table(work.base);
  }
}

delta::At ContentTrack::find_signature(Pending& pending) {
  std::string& signature = pending.plan.signature;
  if (signature.empty()) {
    signature = parts_.index.signature(pending.work.base).value_or(std::string());
  }
  if (!signature.empty()) return delta::At::hand;
  return pending.signature_refused ? delta::At::nowhere : delta::At::unasked;
}

// Chooses how the content travels, or asks for what the choice needs.
void ContentTrack::prepare(Pending& pending) {
  const Work& work = pending.work;
  StreamPlan& plan = pending.plan;
  const Result<std::unique_ptr<ContentHandle>> handle = parts_.source.open(work.key);
  delta::ContentFacts facts{.size = work.attr.size,
                            .base_available = work.base_on_peer && !work.whole && handle,
                            .base_size = work.base_size};
  if (facts.base_available && facts.base_size > 0) {
    facts.data_bytes = data_bytes(**handle);
    find_table(pending);
    facts.table = pending.table         ? delta::At::hand
                  : pending.table_asked ? delta::At::nowhere
                                        : delta::At::unasked;
    if (delta::ask_first(facts) == delta::Ask::table) {
      pending.table_asked = true;
      return request(pending, SignatureKind::blocks);
    }
    const auto found = pending.table ? overlap(pending, **handle) : std::nullopt;
    if (!found) facts.table = delta::At::nowhere;
    facts.overlap = found.value_or(delta::Overlap{});
    facts.signature = find_signature(pending);
  }
  if (delta::ask_first(facts) == delta::Ask::signature) {
    return request(pending, SignatureKind::rolling);
  }
  const delta::Method method = delta::choose(facts);
  const bool whole = method == delta::Method::whole || method == delta::Method::inline_whole;
  if (method != delta::Method::rolling) plan.signature = std::string();
  if (method == delta::Method::aligned || method == delta::Method::append)
    plan.shifted_max = delta::shifted_bytes_max(facts);
  plan.how = whole ? StreamPlan::How::whole : StreamPlan::How::delta;
  if (!whole && pending.table) plan.base_table = std::move(*pending.table);
  pending.table.reset();
  plan.key = work.key;
  plan.base = work.base_key;
  plan.base_digest = work.base;
  plan.base_size = work.base_size;
  pending.state = Pending::State::ready;
}

Status ContentTrack::table_arrived(Pending& pending, bool refused) {
  ByteReader reader(pending.received);
  std::vector<Digest> table;
  while (!refused && reader.ok() && !reader.rest().empty()) table.push_back(Digest{reader.bits()});
  const uint64_t blocks = (pending.work.base_size + limits::block_bytes - 1) / limits::block_bytes;
  const bool right = !refused && reader.ok() && table.size() == blocks &&
                     digest_of_blocks(table) == pending.work.base;
  if (right) pending.table = std::move(table);
  return {};
}

Status ContentTrack::on_signature(const Signature& signature) {
  const auto it = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& p) {
    return p.state == Pending::State::asked && p.asked == signature.kind &&
           p.work.base_key == signature.key;
  });
  if (it == pending_.end()) return {};  // of a request that was given up
  Pending& pending = *it;
  if (pending.received.size() + signature.bytes.size() > signature_bytes_max_of(signature.kind)) {
    return fail(ErrorCode::protocol, "the peer sent a signature that is too large",
                Remedy::reconnect);
  }
  pending.received += signature.bytes;
  const bool refused = signature.content != pending.work.base;
  if (!signature.last && !refused) return {};
  if (signature.kind == SignatureKind::blocks) {
    if (Status taken = table_arrived(pending, refused); !taken) return taken;
  } else {
    pending.signature_refused = refused || pending.received.empty();
    if (!refused) pending.plan.signature = std::move(pending.received);
  }
  pending.received = std::string();
  prepare(pending);
  return {};
}

void ContentTrack::start_stream(Pending pending) {
  Result<std::unique_ptr<ContentHandle>> handle = parts_.source.open(pending.work.key);
  if (!handle) return parts_.failed(std::move(pending.work), handle.error());
  StreamPlan& plan = pending.plan;
  plan.stage = stage_id_of((*handle)->opened());
  plan.as_read = parts_.begins(pending.work);
  const auto staged = parts_.stages->find(plan.stage);
  if (staged != parts_.stages->end()) {
    if (plan.how == StreamPlan::How::whole) plan.resume_at = staged->second;
    parts_.stages->erase(staged);
  }
  const bool small = (*handle)->opened().attr.size <= limits::stream_step_bytes;
  lane_ = small ? Lane::bulk : Lane::background;
  streaming_ = std::move(pending.work);
  streamer_ = std::make_unique<ContentStreamer>(std::move(plan), std::move(*handle), parts_.source);
}

}  // namespace repl::send
