#include "engine/send/content_streamer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "engine/delta/strategy.h"

namespace repl::send {

namespace {

using How = StreamPlan::How;
constexpr uint64_t block = limits::block_bytes;
constexpr size_t zero_run_bytes_min =
    4096;  // a literal run of zeros from here on travels as a hole

uint64_t round_up(uint64_t v) { return (v + block - 1) / block * block; }

bool all_zero(std::string_view bytes) {
  return !bytes.empty() && bytes.front() == '\0' &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace

StageId stage_id_of(const io::Stat& stat) {
  std::string bytes;
  ByteWriter out(bytes);
  out.u64(stat.local.inode);
  out.i64(stat.local.birth.seconds);
  out.u32(stat.local.birth.nanoseconds);
  out.u64(stat.attr.size);
  out.i64(stat.attr.mtime.seconds);
  out.u32(stat.attr.mtime.nanoseconds);
  return StageId{hash_bytes(bytes)};
}

ContentStreamer::ContentStreamer(StreamPlan plan, std::unique_ptr<ContentHandle> handle,
                                 ContentSource& source)
    : plan_(std::move(plan)),
      handle_(std::move(handle)),
      source_(source),
      size_(handle_->opened().attr.size) {
  if (plan_.how != How::whole || plan_.resume_at > size_) plan_.resume_at = 0;
  if (plan_.how == How::rolling) {
    Result<delta::RollingSearch> search = delta::RollingSearch::open(plan_.signature);
    plan_.signature.clear();
    if (search) {
      search_.emplace(std::move(*search));
    } else {
      plan_.how = How::whole;  // a signature that cannot be used is no reason not to send
    }
  }
  if (plan_.how == How::whole) plan_.base = Key{};
}

void ContentStreamer::begin(const Emit& emit) {
  begun_ = true;
  StageBegin message{.stage = plan_.stage, .size_hint = size_, .resume_at = plan_.resume_at};
  if (plan_.how != How::whole) {
    message.base = plan_.base;
    message.base_digest = plan_.base_digest;
  }
  sent_ = plan_.resume_at;
  emit(std::move(message));
}

ContentStreamer::Step ContentStreamer::step(size_t budget_bytes, const Emit& emit) {
  if (!begun_) begin(emit);
  if (Status went = next(budget_bytes, emit); !went) {
    error_ = went.error();
    emit(StageAbort{.stage = plan_.stage});
    return Step::aborted;
  }
  return ended_ ? Step::done : Step::more;
}

Status ContentStreamer::next(size_t budget_bytes, const Emit& emit) {
  const bool behind = plan_.how == How::rolling && !search_ && sent_ < offset_;
  if (behind) return catch_up(budget_bytes, emit);
  if (offset_ < size_) return advance(budget_bytes, emit);
  if (search_) return end_search(emit);
  finish(emit);
  return {};
}

// Fills slab_ from offset_ to `end` at most; a short read ends the file there.
Status ContentStreamer::read_slab(uint64_t end, size_t budget_bytes) {
  const uint64_t budget =
      std::clamp<uint64_t>(budget_bytes / block * block, block, limits::stream_step_bytes);
  const auto want = static_cast<size_t>(std::min(end - offset_, budget));
  slab_.resize(want);
  const Result<size_t> got = handle_->read_at(offset_, slab_.data(), want);
  if (!got) return fail(got.error());
  slab_.resize(*got);
  if (*got < want) {
    size_ = offset_ + *got;
    shrank_ = true;
  }
  return {};
}

Status ContentStreamer::advance(size_t budget_bytes, const Emit& emit) {
  const Result<io::DataRange> data = handle_->next_data(offset_, size_);
  if (!data) return fail(data.error());
  uint64_t start = std::min(data->start, size_);
  uint64_t end = std::min(data->end, size_);
  if (plan_.how == How::aligned && start < size_) start = start / block * block;
  if (plan_.how != How::rolling && start > offset_) {
    skip_hole(start, emit);
    return {};
  }
  if (plan_.how == How::aligned) end = std::min(round_up(end), size_);
  if (plan_.how == How::rolling || end <= offset_) end = size_;

  const uint64_t slab_offset = offset_;
  if (Status got = read_slab(end, budget_bytes); !got) return got;
  hasher_.update(slab_);
  offset_ += slab_.size();
  if (plan_.how == How::aligned) {
    slab_aligned(slab_offset, emit);
  } else if (search_) {
    return slab_rolling(emit);
  } else {
    slab_whole(emit);
  }
  return {};
}

void ContentStreamer::skip_hole(uint64_t until, const Emit& emit) {
  flush_copy(emit);
  hasher_.update_zeros(until - offset_);
  offset_ = until;
  if (until <= sent_) return;  // staged already
  emit(StageHole{.stage = plan_.stage, .offset = sent_, .length = until - sent_});
  sent_ = until;
}

void ContentStreamer::send_data(uint64_t offset, std::string_view bytes, const Emit& emit) {
  flush_copy(emit);
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, limits::data_chunk_bytes_max);
    emit(StageData{.stage = plan_.stage, .offset = offset, .bytes = std::string(piece)});
    result_.literal_bytes += piece.size();
    offset += piece.size();
    bytes.remove_prefix(piece.size());
  }
  sent_ = offset;
}

void ContentStreamer::send_copy(uint64_t offset, uint64_t base_offset, uint64_t length,
                                const Emit& emit) {
  const bool adjacent = copy_.length > 0 && copy_.offset + copy_.length == offset &&
                        copy_.base_offset + copy_.length == base_offset;
  if (adjacent) {
    copy_.length += length;
  } else {
    flush_copy(emit);
    copy_ = StageCopy{
        .stage = plan_.stage, .offset = offset, .base_offset = base_offset, .length = length};
  }
  result_.copied_bytes += length;
  sent_ = offset + length;
}

void ContentStreamer::flush_copy(const Emit& emit) {
  if (copy_.length == 0) return;
  emit(copy_);
  copy_.length = 0;
}

// offset_ is the slab's end. What lies before resume_at was hashed and is staged already.
void ContentStreamer::slab_whole(const Emit& emit) {
  if (offset_ <= sent_) return;
  const auto fresh = static_cast<size_t>(std::min<uint64_t>(offset_ - sent_, slab_.size()));
  send_data(offset_ - fresh, std::string_view(slab_).substr(slab_.size() - fresh), emit);
}

void ContentStreamer::slab_aligned(uint64_t slab_offset, const Emit& emit) {
  const std::string_view slab = slab_;
  size_t changed_from = 0;  // [changed_from, at) differs and was not sent yet
  size_t at = 0;
  const auto send_changed = [&] {
    if (at > changed_from) {
      send_data(slab_offset + changed_from, slab.substr(changed_from, at - changed_from), emit);
    }
  };
  while (at < slab.size()) {
    const uint64_t index = (slab_offset + at) / block;
    const size_t length = std::min<size_t>(block, slab.size() - at);
    const Digest digest = index < hasher_.blocks().size() ? hasher_.blocks()[index]
                                                          : hash_bytes(slab.substr(at, length));
    if (delta::block_equal(plan_.base_table, plan_.base_size, index, digest, length)) {
      send_changed();
      send_copy(slab_offset + at, slab_offset + at, length, emit);
      changed_from = at + length;
    }
    at += length;
  }
  send_changed();
}

delta::DeltaSink ContentStreamer::rolling_sink(const Emit& emit) {
  return delta::DeltaSink{
      .copy = [this, &emit](const delta::CopyCommand& c) -> Status {
        // The signature is a peer's: what it makes librsync say is checked against what was read.
        if (c.length > offset_ - sent_) {
          return fail(ErrorCode::invalid, "delta: a copy that is longer than the file");
        }
        send_copy(sent_, c.base_offset, c.length, emit);
        return {};
      },
      .literal = [this, &emit](const delta::LiteralCommand& l) -> Status {
        if (l.bytes.size() >= zero_run_bytes_min && all_zero(l.bytes)) {
          flush_copy(emit);
          emit(StageHole{.stage = plan_.stage, .offset = sent_, .length = l.bytes.size()});
          sent_ += l.bytes.size();
        } else {
          send_data(sent_, l.bytes, emit);
        }
        return {};
      }};
}

namespace {
// The search could not be bounded, or librsync found the signature wanting: what it did not tell is
// sent as it is. Other errors are the source's.
bool gave_up(const Status& status) {
  return !status &&
         (status.error().code == ErrorCode::limit || status.error().code == ErrorCode::invalid);
}
}  // namespace

Status ContentStreamer::slab_rolling(const Emit& emit) {
  Status fed = search_->feed(slab_, rolling_sink(emit));
  if (!gave_up(fed)) return fed;
  search_.reset();
  return {};
}

Status ContentStreamer::end_search(const Emit& emit) {
  Status ended = search_->finish(rolling_sink(emit));
  search_.reset();
  return gave_up(ended) ? Status{} : ended;
}

// RACE: these bytes are read a second time; if they changed since they were hashed, the receiver
// finds the digest wrong, refuses, and the key is sent again.
Status ContentStreamer::catch_up(size_t budget_bytes, const Emit& emit) {
  slab_.resize(static_cast<size_t>(std::min<uint64_t>(
      offset_ - sent_, std::clamp<size_t>(budget_bytes, block, limits::stream_step_bytes))));
  const Result<size_t> got = handle_->read_at(sent_, slab_.data(), slab_.size());
  if (!got) return fail(got.error());
  if (*got < slab_.size()) {
    return fail(ErrorCode::changed, "a file shrank while it was sent", Remedy::retry);
  }
  send_data(sent_, slab_, emit);
  return {};
}

void ContentStreamer::finish(const Emit& emit) {
  ended_ = true;
  flush_copy(emit);
  result_.digest = hasher_.finish();
  result_.blocks = hasher_.blocks();
  result_.size = hasher_.size();
  // RACE: a writer may store between our read and this stat, or restore size and mtime: ctime
  // tells, and a rename or chmod that changes ctime alone costs one more look at the key.
  const Result<io::Stat> after = handle_->stat_again();
  const io::Stat& before = handle_->opened();
  result_.unstable = shrank_ || !after || after->attr.size != before.attr.size ||
                     after->attr.mtime != before.attr.mtime ||
                     after->local.ctime != before.local.ctime ||
                     !source_.leads_to(plan_.key, before);
  emit(StageEnd{.stage = plan_.stage, .size = result_.size, .digest = result_.digest});
}

}  // namespace repl::send
