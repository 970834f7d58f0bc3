// cut_streams.cc: the large contents of a CutWriter's cut: signatures, the choice of a delta,
// streaming.
#include <algorithm>
#include <utility>

#include "engine/base/bytes.h"
#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/send/cut_writer.h"

namespace repl::send {

namespace {

constexpr size_t samples_max = 64;
constexpr size_t streamed_contents_max = 256;
constexpr size_t streamed_blocks_max = 1 << 20;  // 16 MiB, of 64 GiB of content

size_t signature_bytes_max_of(SignatureKind kind) {
  return kind == SignatureKind::rolling ? limits::signature_bytes_max
                                        : limits::block_table_bytes_max;
}

}  // namespace

CutWriter::Drain CutWriter::drain(size_t budget_bytes) {
  if (!streamer_) {
    // The first few are prepared at once, so that their signatures travel while another is
    // streamed.
    const size_t window = std::min(pending_.size(), limits::rolling_signatures_max);
    for (size_t i = 0; i < window; ++i) {
      if (pending_[i].state == Pending::State::fresh) prepare(pending_[i]);
    }
    const auto ready = std::find_if(pending_.begin(), pending_.begin() + window,
                                    [](const auto& p) { return p.state == Pending::State::ready; });
    if (ready == pending_.begin() + window) return window > 0 ? Drain::waiting : Drain::idle;
    Pending next = std::move(*ready);
    pending_.erase(ready);
    start_stream(std::move(next));
    return Drain::more;
  }
  const auto step = streamer_->step(budget_bytes, [this](Message m) { emit(std::move(m)); });
  if (step == ContentStreamer::Step::more) return Drain::more;
  if (step == ContentStreamer::Step::done) {
    finish_stream();
  } else {
    const Work work = std::move(*streaming_);
    const Error why = streamer_->error();
    streaming_.reset();
    streamer_.reset();
    skip(work.key, work.attr.link, why);
  }
  return Drain::more;
}

// How many blocks stay where they are: exact from the index's table of the new content, else from
// samples spread over the file. Nothing when the file cannot be read.
std::optional<uint64_t> CutWriter::count_matching(const Pending& pending, uint64_t size,
                                                  uint64_t& total) {
  const Work& work = pending.work;
  if (work.attr.content.is_set() && work.attr.size == size) {
    if (const auto target = parts_.index.block_table(work.attr.content)) {
      total = target->size();
      return delta::blocks_matching(*pending.table, *target, work.base_size, size);
    }
  }
  const Result<std::unique_ptr<ContentHandle>> handle = parts_.source.open(work.key);
  if (!handle) return std::nullopt;
  const uint64_t blocks = (size + limits::block_bytes - 1) / limits::block_bytes;
  total = std::min<uint64_t>(blocks, samples_max);
  uint64_t matching = 0;
  std::string bytes(limits::block_bytes, '\0');
  for (uint64_t i = 0; i < total; ++i) {
    const uint64_t index = i * blocks / total;
    const auto got = (*handle)->read_at(index * limits::block_bytes, bytes.data(), bytes.size());
    if (!got) return std::nullopt;
    const Digest digest = hash_bytes(std::string_view(bytes).substr(0, *got));
    if (delta::block_equal(*pending.table, work.base_size, index, digest, *got)) ++matching;
  }
  return matching;
}

void CutWriter::request(Pending& pending, SignatureKind kind) {
  pending.state = Pending::State::asked;
  pending.asked = kind;
  pending.received.clear();
  parts_.ask(SignatureRequest{.key = pending.work.key, .content = pending.work.base, .kind = kind});
}

void CutWriter::remember(const Key& key, const StreamResult& result) {
  const bool full = streamed_.size() >= streamed_contents_max ||
                    streamed_blocks_ + result.blocks.size() > streamed_blocks_max;
  if (full) {
    streamed_.clear();
    streamed_blocks_ = 0;
  }
  if (result.blocks.size() > streamed_blocks_max) return;
  streamed_blocks_ += result.blocks.size();
  streamed_[key] = Streamed{.content = result.digest, .size = result.size, .blocks = result.blocks};
}

// The key is about to be something else on the peer, unless only its attributes change.
void CutWriter::forget(const Record& record) {
  const Key* key = nullptr;
  if (const auto* put = std::get_if<Put>(&record)) {
    const bool stays =
        put->attr.type == FileType::regular && std::holds_alternative<ContentNone>(put->content);
    if (!stays) key = &put->key;
  } else if (const auto* removed = std::get_if<Remove>(&record)) {
    key = &removed->key;
  }
  const auto at = key != nullptr ? streamed_.find(*key) : streamed_.end();
  if (at == streamed_.end()) return;
  streamed_blocks_ -= at->second.blocks.size();
  streamed_.erase(at);
}

// Chooses how the content travels, or asks for what the choice needs.
void CutWriter::prepare(Pending& pending) {
  Work& work = pending.work;
  delta::ContentFacts facts{.size = work.attr.size,
                            .base_available = work.base_on_peer && !work.whole,
                            .base_size = work.base_size,
                            .signature_refused = pending.signature_refused};
  if (facts.base_available && facts.base_size > 0) {
    const auto before = streamed_.find(work.key);
    if (!pending.table && before != streamed_.end() && before->second.content == work.base) {
      pending.table = before->second.blocks;
    }
    if (!pending.table) pending.table = parts_.index.block_table(work.base);
    if (!pending.table && !pending.table_asked) {
      pending.table_asked = true;
      return request(pending, SignatureKind::blocks);
    }
    if (pending.table) {
      const auto matching = count_matching(pending, work.attr.size, facts.blocks_total);
      facts.table_available = matching.has_value();
      facts.blocks_matching = matching.value_or(0);
    }
  }
  StreamPlan& plan = pending.plan;
  switch (delta::choose(facts)) {
    case delta::Method::rolling:
      if (plan.signature.empty()) return request(pending, SignatureKind::rolling);
      plan.how = StreamPlan::How::rolling;
      break;
    case delta::Method::aligned:
      plan.how = StreamPlan::How::aligned;
      plan.base_table = std::move(*pending.table);
      break;
    default:
      plan.how = StreamPlan::How::whole;
  }
  pending.table.reset();
  plan.key = work.key;
  plan.base = work.key;
  plan.base_digest = work.base;
  plan.base_size = work.base_size;
  pending.state = Pending::State::ready;
}

Status CutWriter::table_arrived(Pending& pending, bool refused) {
  ByteReader reader(pending.received);
  std::vector<Digest> table;
  while (!refused && reader.ok() && !reader.rest().empty()) table.push_back(Digest{reader.bits()});
  const uint64_t blocks = (pending.work.base_size + limits::block_bytes - 1) / limits::block_bytes;
  const bool right = !refused && reader.ok() && table.size() == blocks &&
                     digest_of_blocks(table) == pending.work.base;
  if (right) pending.table = std::move(table);
  return {};
}

Status CutWriter::on_signature(const Signature& signature) {
  const auto it = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& p) {
    return p.state == Pending::State::asked && p.asked == signature.kind &&
           p.work.key == signature.key;
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

void CutWriter::start_stream(Pending pending) {
  Result<std::unique_ptr<ContentHandle>> handle = parts_.source.open(pending.work.key);
  if (!handle) return skip(pending.work.key, pending.work.attr.link, handle.error());
  StreamPlan& plan = pending.plan;
  plan.stage = stage_id_of((*handle)->opened());
  const auto staged = stages_.find(plan.stage);
  if (staged != stages_.end()) {
    if (plan.how == StreamPlan::How::whole) plan.resume_at = staged->second;
    stages_.erase(staged);
  }
  streaming_ = std::move(pending.work);
  streamer_ = std::make_unique<ContentStreamer>(std::move(plan), std::move(*handle), parts_.source);
}

void CutWriter::finish_stream() {
  const std::unique_ptr<ContentStreamer> streamer = std::move(streamer_);
  const Work work = std::move(*streaming_);
  streaming_.reset();
  const StreamResult& result = streamer->result();
  switch (streamer->plan().how) {
    case StreamPlan::How::whole:
      ++counters_.whole;
      break;
    case StreamPlan::How::aligned:
      ++counters_.aligned;
      break;
    case StreamPlan::How::rolling:
      ++counters_.rolling;
      break;
  }
  counters_.literal_bytes += result.literal_bytes;
  counters_.saved_bytes += result.copied_bytes;
  Result<Attributes> attr = as_on_disk(work, streamer->handle());
  if (!attr) return skip(work.key, work.attr.link, attr.error());
  if (result.unstable) changed_meanwhile(work.key);
  attr->size = result.size;
  attr->content = result.digest;
  learned(work, *attr, result.digest, result.blocks);
  put_done(work, *attr, ContentStaged{.stage = streamer->plan().stage});
  remember(work.key, result);
}

}  // namespace repl::send
