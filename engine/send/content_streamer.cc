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

Digest hash_zeros(uint64_t length) {
  static const std::string zeros(block, '\0');
  static const Digest whole_block = hash_bytes(zeros);
  return length == block ? whole_block : hash_bytes(std::string_view(zeros).substr(0, length));
}

// The search could not be bounded, or librsync found the signature wanting: what it did not tell is
// sent as it is. Other errors are the source's.
bool gave_up(const Status& status) {
  return !status &&
         (status.error().code == ErrorCode::limit || status.error().code == ErrorCode::invalid);
}

bool same_times(const io::Stat& a, const io::Stat& b) {
  return a.attr.mtime == b.attr.mtime && a.local.ctime == b.local.ctime;
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
  if (plan_.how == How::delta && !plan_.signature.empty()) {
    Result<delta::RollingSearch> search = delta::RollingSearch::open(plan_.signature);
    if (search) search_.emplace(std::move(*search));
  }
  plan_.signature = std::string();
  // A signature that cannot be used is no reason not to send.
  if (plan_.base_table.empty() && !search_) plan_.how = How::whole;
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
  Status went;
  if (!begun_) {
    begin(emit);
    went = read_tail();
  }
  if (went) went = next(budget_bytes, emit);
  if (!went) {
    error_ = went.error();
    emit(StageAbort{.stage = plan_.stage});
    return Step::aborted;
  }
  if (torn_) return Step::torn;
  if (!ended_ && !reading_again_ && shifted_bytes_ > plan_.shifted_max) {
    emit(StageAbort{.stage = plan_.stage});
    return Step::unlike;
  }
  return ended_ ? Step::done : Step::more;
}

Status ContentStreamer::next(size_t budget_bytes, const Emit& emit) {
  if (reading_again_) return read_again(budget_bytes, emit);
  if (sent_ < gave_up_at_) return catch_up(budget_bytes, emit);
  if (plan_.how == How::delta && looked_ < offset_) return slab_delta(emit);
  if (offset_ < size_) return advance(budget_bytes, emit);
  if (run_open_) return end_run(emit);
  end_reading(emit);
  return {};
}

Status ContentStreamer::read_tail() {
  const uint64_t at = plan_.base_size / block * block;
  const bool grown = plan_.how == How::delta && !plan_.base_table.empty() && at > 0 &&
                     size_ > plan_.base_size && size_ - at <= limits::stream_step_bytes;
  if (!grown) return {};
  tail_at_ = at;
  again_.resize(static_cast<size_t>(size_ - at));
  const Result<size_t> got = handle_->read_at(at, again_.data(), again_.size());
  if (!got) return fail(got.error());
  for (size_t i = 0; i < *got; i += block)
    tail_.push_back(hash_bytes(std::string_view(again_).substr(i, std::min(block, *got - i))));
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
  const bool whole = plan_.how == How::whole;
  const Result<io::DataRange> data = handle_->next_data(offset_, size_);
  if (!data) return fail(data.error());
  uint64_t start = std::min(data->start, size_);
  uint64_t end = std::min(data->end, size_);
  // A delta goes by blocks: one that holds data and a hole is data.
  if (!whole && start < size_) start = start / block * block;
  if (!whole) end = std::min(round_up(end), size_);
  if (start > offset_) {
    const uint64_t until = std::min(start, offset_ + limits::hole_step_bytes);
    if (!whole) return hole_delta(until, emit);
    hole_whole(until, emit);
    return {};
  }
  if (end <= offset_) end = size_;
  judge_age();
  if (Status got = read_slab(end, budget_bytes); !got) return got;
  hasher_.update(slab_);
  offset_ += slab_.size();
  if (!whole) return slab_delta(emit);
  slab_whole(emit);
  return {};
}

// --- what is told, in order; adjacent ranges leave as one ---

void ContentStreamer::send_data(uint64_t offset, std::string_view bytes, const Emit& emit) {
  flush_ranges(emit);
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, limits::data_chunk_bytes_max);
    emit(StageData{.stage = plan_.stage, .offset = offset, .bytes = std::string(piece)});
    result_.literal_bytes += piece.size();
    offset += piece.size();
    bytes.remove_prefix(piece.size());
  }
  sent_ = offset;
}

void ContentStreamer::send_hole(uint64_t offset, uint64_t length, const Emit& emit) {
  if (hole_.length == 0) {
    flush_ranges(emit);
    hole_ = StageHole{.stage = plan_.stage, .offset = offset, .length = 0};
  }
  hole_.length += length;
  sent_ = offset + length;
}

void ContentStreamer::send_copy(uint64_t offset, uint64_t base_offset, uint64_t length,
                                const Emit& emit) {
  const bool adjacent = copy_.length > 0 && copy_.base_offset + copy_.length == base_offset;
  if (!adjacent) {
    flush_ranges(emit);
    copy_ =
        StageCopy{.stage = plan_.stage, .offset = offset, .base_offset = base_offset, .length = 0};
  }
  copy_.length += length;
  result_.copied_bytes += length;
  sent_ = offset + length;
}

void ContentStreamer::flush_ranges(const Emit& emit) {
  if (copy_.length > 0) emit(copy_);
  if (hole_.length > 0) emit(hole_);
  copy_.length = 0;
  hole_.length = 0;
}

// --- whole: what lies before resume_at was hashed and is staged already ---

void ContentStreamer::hole_whole(uint64_t until, const Emit& emit) {
  hasher_.update_zeros(until - offset_);
  offset_ = until;
  if (until > sent_) send_hole(sent_, until - sent_, emit);
}

void ContentStreamer::slab_whole(const Emit& emit) {
  if (offset_ <= sent_) return;
  const auto fresh = static_cast<size_t>(std::min<uint64_t>(offset_ - sent_, slab_.size()));
  send_data(offset_ - fresh, std::string_view(slab_).substr(slab_.size() - fresh), emit);
}

// --- delta: [sent_, looked_) differs from the base and is not told yet; without a search it lies
// in the slab ---

Status ContentStreamer::hole_delta(uint64_t until, const Emit& emit) {
  if (Status told = end_changed(emit); !told || sent_ < looked_) return told;
  hasher_.update_zeros(until - offset_);
  offset_ = until;
  while (looked_ < until) {
    const uint64_t index = looked_ / block;
    const bool beyond = index >= plan_.base_table.size();
    const uint64_t length = beyond ? until - looked_ : std::min(block, until - looked_);
    const bool kept = !beyond && delta::block_equal(plan_.base_table, plan_.base_size, index,
                                                    hash_zeros(length), length);
    if (kept)
      send_copy(looked_, looked_, length, emit);
    else
      send_hole(looked_, length, emit);
    front_kept_ = front_kept_ && (kept || looked_ >= tail_at_);
    looked_ += length;
  }
  return {};
}

// How much of block `index`, which holds `bytes`, the base has at the same place: all, nothing, or
// what its short last block had before the file grew.
uint64_t ContentStreamer::base_has(uint64_t index, std::string_view bytes) const {
  if (index >= plan_.base_table.size()) return 0;
  const uint64_t length = delta::block_length(plan_.base_size, index);
  if (length == 0 || length > bytes.size()) return 0;
  const bool hashed = length == bytes.size() && index < hasher_.blocks().size();
  const Digest digest = hashed ? hasher_.blocks()[index] : hash_bytes(bytes.substr(0, length));
  return digest == plan_.base_table[index] ? length : 0;
}

Status ContentStreamer::slab_delta(const Emit& emit) {
  const uint64_t slab_offset = offset_ - slab_.size();
  while (looked_ < offset_) {
    const std::string_view bytes =
        std::string_view(slab_).substr(static_cast<size_t>(looked_ - slab_offset), block);
    const uint64_t kept = base_has(looked_ / block, bytes);
    front_kept_ = front_kept_ && (kept == bytes.size() || looked_ >= tail_at_);
    if (kept > 0) {
      if (Status told = end_changed(emit); !told || sent_ < looked_) return told;
      send_copy(looked_, looked_, kept, emit);
      looked_ += kept;
    }
    count_run(kept == bytes.size());
    if (kept == bytes.size()) continue;
    if (Status took = changed(bytes.substr(kept), emit); !took || sent_ < gave_up_at_) return took;
  }
  // The slab goes; what the search holds of it, it holds itself.
  return run_open_ ? Status{} : end_changed(emit);
}

// Only of what the base has a whole block for: the rest is new anyway.
void ContentStreamer::count_run(bool kept) {
  if (looked_ + block > plan_.base_size) return;
  run_blocks_ = kept ? 0 : run_blocks_ + 1;
  if (run_blocks_ == delta::shift_run_blocks) shifted_bytes_ += run_blocks_ * block;
  if (run_blocks_ > delta::shift_run_blocks) shifted_bytes_ += block;
}

// The next bytes differ from the base's.
Status ContentStreamer::changed(std::string_view bytes, const Emit& emit) {
  looked_ += bytes.size();
  if (!search_) return {};
  run_open_ = true;
  return settle(search_->feed(bytes, rolling_sink(emit)), false);
}

// What differs before looked_ is told, or, if the search gave up, is to be told by catch_up.
Status ContentStreamer::end_changed(const Emit& emit) {
  if (run_open_) return end_run(emit);
  if (sent_ == looked_) return {};
  const uint64_t slab_offset = offset_ - slab_.size();
  send_data(sent_,
            std::string_view(slab_).substr(static_cast<size_t>(sent_ - slab_offset),
                                           static_cast<size_t>(looked_ - sent_)),
            emit);
  return {};
}

Status ContentStreamer::end_run(const Emit& emit) {
  Status ended = search_->finish(rolling_sink(emit));
  run_open_ = false;
  return settle(std::move(ended), true);
}

Status ContentStreamer::settle(Status told, bool all_told) {
  const bool short_of = told && all_told && sent_ < looked_;
  if (!gave_up(told) && !short_of) return told;
  search_.reset();
  run_open_ = false;
  gave_up_at_ = looked_;
  return {};
}

delta::DeltaSink ContentStreamer::rolling_sink(const Emit& emit) {
  return delta::DeltaSink{.copy = [this, &emit](const delta::CopyCommand& c) -> Status {
                            // The signature is a peer's: what it makes librsync say is checked.
                            const bool within = c.base_offset <= plan_.base_size &&
                                                c.length <= plan_.base_size - c.base_offset &&
                                                c.length <= looked_ - sent_;
                            if (!within)
                              return fail(ErrorCode::invalid, "delta: a copy that cannot be");
                            send_copy(sent_, c.base_offset, c.length, emit);
                            result_.rolling_bytes += c.length;
                            return {};
                          },
                          .literal = [this, &emit](const delta::LiteralCommand& l) -> Status {
                            if (l.bytes.size() >= zero_run_bytes_min && all_zero(l.bytes)) {
                              send_hole(sent_, l.bytes.size(), emit);
                            } else {
                              send_data(sent_, l.bytes, emit);
                            }
                            return {};
                          }};
}

// RACE: these bytes are read a second time; if they changed since they were hashed, the receiver
// finds the digest wrong, refuses, and the key is sent again.
Status ContentStreamer::catch_up(size_t budget_bytes, const Emit& emit) {
  again_.resize(static_cast<size_t>(std::min<uint64_t>(
      gave_up_at_ - sent_, std::clamp<size_t>(budget_bytes, block, limits::stream_step_bytes))));
  const Result<size_t> got = handle_->read_at(sent_, again_.data(), again_.size());
  if (!got) return fail(got.error());
  if (*got == again_.size())
    send_data(sent_, again_, emit);
  else
    take_back(emit);  // it shrank
  return {};
}

// --- did it hold still? ---

// Before a read: what is read from now on shows in ctime if it is changed.
void ContentStreamer::judge_age() {
  if (!young_) return;
  LocalStat local = handle_->opened().local;
  if (const Result<io::Stat> now = handle_->stat_again())
    local.seen_wall_ns = now->local.seen_wall_ns;
  young_ = is_racy(local);
  if (!young_) young_until_ = offset_;
}

// From the first reading of the tail to the second, it was what was sent; in between, what lies
// before it was the base's, and what is the base's no longer since then came later.
bool ContentStreamer::only_grew(const io::Stat& now) const {
  const size_t front = tail_at_ / block;
  return now.attr.size > handle_->opened().attr.size && !tail_.empty() && front_kept_ &&
         result_.blocks.size() == front + tail_.size() &&
         std::equal(tail_.begin(), tail_.end(), result_.blocks.begin() + static_cast<long>(front));
}

void ContentStreamer::end_reading(const Emit& emit) {
  result_.digest = hasher_.finish();
  result_.blocks = hasher_.blocks();
  result_.size = hasher_.size();
  if (young_) young_until_ = result_.size;
  Result<io::Stat> now = handle_->stat_again();
  if (shrank_ || !now || now->attr.size < result_.size) return torn(emit);
  const io::Stat& before = handle_->opened();
  const bool same = same_times(*now, before) && now->attr.size == before.attr.size;
  result_.changed = !same || !source_.leads_to(plan_.key, before);
  again_until_ = same              ? std::min(round_up(young_until_), result_.size)
                 : only_grew(*now) ? 0
                                   : result_.size;
  if (!same && now->attr.size == before.attr.size) touched_ = *now;
  first_ = std::move(*now);
  reading_again_ = true;
  if (again_until_ == 0) end_reading_again(emit);
}

Status ContentStreamer::read_again(size_t budget_bytes, const Emit& emit) {
  const Result<io::DataRange> data = handle_->next_data(again_at_, again_until_);
  if (!data) return fail(data.error());
  const uint64_t start = data->start < again_until_ ? data->start / block * block : again_until_;
  bool same = true;
  if (start > again_at_) {
    same = holds(std::min(start, again_at_ + limits::hole_step_bytes), nullptr);
  } else {
    again_.resize(static_cast<size_t>(std::min<uint64_t>(
        again_until_ - again_at_,
        std::clamp<size_t>(budget_bytes / block * block, block, limits::stream_step_bytes))));
    const Result<size_t> got = handle_->read_at(again_at_, again_.data(), again_.size());
    if (!got) return fail(got.error());
    same = *got == again_.size() && holds(again_at_ + *got, again_.data());
  }
  if (!same)
    torn(emit);
  else if (again_at_ == again_until_)
    end_reading_again(emit);
  return {};
}

// Whether [again_at_, until) is what was sent. No bytes: it is a hole.
bool ContentStreamer::holds(uint64_t until, const char* bytes) {
  while (again_at_ < until) {
    const uint64_t length = std::min(block, result_.size - again_at_);
    const Digest digest = bytes == nullptr ? hash_zeros(length) : hash_bytes({bytes, length});
    if (digest != result_.blocks[again_at_ / block]) return false;
    again_at_ += length;
    if (bytes != nullptr) bytes += length;
  }
  return true;
}

// Between the two readings nothing that was sent was another: all of it was there at once, then.
// Where not even the size tells that the file was written, it must have held still the second time:
// else a writer that puts back what it overwrites, again and again, would be taken for none.
void ContentStreamer::end_reading_again(const Emit& emit) {
  const Result<io::Stat> now = handle_->stat_again();
  if (!now || now->attr.size < first_->attr.size) return torn(emit);
  const bool still = same_times(*now, *first_) && now->attr.size == first_->attr.size;
  if (touched_ && !still) return torn(emit);
  result_.changed = result_.changed || !still;
  publish(emit);
}

void ContentStreamer::publish(const Emit& emit) {
  flush_ranges(emit);
  ended_ = true;
  emit(StageEnd{.stage = plan_.stage, .size = result_.size, .digest = result_.digest});
}

void ContentStreamer::torn(const Emit& emit) {
  if (!plan_.as_read) return take_back(emit);
  result_.torn = true;
  result_.changed = true;
  touched_.reset();
  publish(emit);
}

void ContentStreamer::take_back(const Emit& emit) {
  torn_ = true;
  error_ = did_not_hold_still();
  emit(StageAbort{.stage = plan_.stage});
}

}  // namespace repl::send
