// content_streamer.h: one regular file as StageBegin, StageData/Hole/Copy, StageEnd, in bounded
// steps and one pass over the file.
//
// whole: what SEEK_DATA finds is sent, holes stay holes; with `resume_at`, what is staged is read
// for the digest and not sent. delta: blocks that the base has at the same place become StageCopy,
// and each run of others is searched for what the base has elsewhere, if there is a signature of
// it; a hole that is not the base's is a StageHole, one that is costs nothing but the range.
//
// A stable read: what was sent is what the file held at one moment. Either stat says the same
// before and after; or, where it does not, a second reading finds the same bytes (nothing is sent):
// the file only grew (what was sent is what lay before the size first seen), or its attributes
// changed, or what it held already was written. Of what only grew beyond the base by a step or
// less, the tail alone is read twice, before and behind the rest: while it stood, the rest was
// found to be the base's. Else the read was torn: what was told is taken back, or, if the plan says
// so, it is published as it was read. StageEnd carries size and digest of exactly what was sent.
//
// RACE: a write within the granularity of ctime (a jiffy, before Linux 6.13) after the write that
// ctime tells of leaves no trace in stat: what was read while ctime was that young is read twice.
// RACE: of a file that grows, the second reading would not notice bytes that were overwritten and
// put back in between; worst case, a version that mixes two moments, corrected by the write's
// event. A store through mmap into a page that is dirty already changes no time and raises no
// event.
//
// Thread: one owner. Memory: two slabs (limits::stream_step_bytes), one hash per block, and what
// the plan holds.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/delta/rolling.h"
#include "engine/model/hash.h"
#include "engine/model/message.h"
#include "engine/send/content_source.h"

namespace repl::send {

// Of inode, birth, size and mtime; not of ctime, so that a rename does not restart a transfer.
[[nodiscard]] StageId stage_id_of(const io::Stat& stat);

struct StreamPlan {
  enum class How : uint8_t { whole, delta };
  How how = How::whole;
  Key key;  // as the source knows it
  StageId stage;
  uint64_t resume_at = 0;  // whole only
  // delta only
  Key base;  // as the receiver knows it, with base_digest
  Digest base_digest;
  uint64_t base_size = 0;
  std::vector<Digest> base_table;  // empty: not known
  std::string signature;           // rolling, of the base; empty or bad: nothing is searched
  // More new bytes than so many in long runs, without a signature: the file is shifted, which its
  // samples did not tell (its writer was in the middle of it), and a search would have paid.
  uint64_t shifted_max = UINT64_MAX;
  bool as_read = false;  // a torn read is published: it never holds still
};

struct StreamResult {
  Digest digest;
  std::vector<Digest> blocks;
  uint64_t size = 0;
  uint64_t literal_bytes = 0;
  uint64_t copied_bytes = 0;   // what the base has, those below included
  uint64_t rolling_bytes = 0;  // found by the search
  bool changed = false;        // since the state that was sent: the key is to be read again
  bool torn = false;           // as_read: never was the file what was sent
};

class ContentStreamer {
 public:
  enum class Step : uint8_t { more, done, aborted, torn, unlike };
  using Emit = std::function<void(Message)>;

  ContentStreamer(StreamPlan plan, std::unique_ptr<ContentHandle> handle, ContentSource& source);

  // Reads at most `budget_bytes` (at least one block; the first also the tail, which is
  // limits::stream_step_bytes at most) and emits at most that much and some headers.
  // `aborted`, `torn`: StageAbort was emitted, error() says why. `unlike`: likewise, because of
  // shifted_max.
  [[nodiscard]] Step step(size_t budget_bytes, const Emit& emit);
  // The peer has been told of it.
  [[nodiscard]] bool begun() const { return begun_; }
  [[nodiscard]] const StreamPlan& plan() const { return plan_; }
  [[nodiscard]] const StreamResult& result() const { return result_; }  // after `done`
  [[nodiscard]] const Error& error() const { return error_; }
  [[nodiscard]] ContentHandle& handle() { return *handle_; }
  [[nodiscard]] const io::Stat& opened() const { return handle_->opened(); }
  // Of the file when it held what was sent, but for its size; after `done`.
  [[nodiscard]] const io::Stat& state() const { return touched_ ? *touched_ : handle_->opened(); }
  // The file is found under another name now.
  void renamed(const Key& key) { plan_.key = key; }

 private:
  void begin(const Emit& emit);
  Status read_tail();
  [[nodiscard]] bool only_grew(const io::Stat& now) const;
  Status next(size_t budget_bytes, const Emit& emit);
  Status advance(size_t budget_bytes, const Emit& emit);
  Status read_slab(uint64_t end, size_t budget_bytes);
  void judge_age();
  void end_reading(const Emit& emit);
  Status read_again(size_t budget_bytes, const Emit& emit);
  [[nodiscard]] bool holds(uint64_t until, const char* bytes);
  void end_reading_again(const Emit& emit);
  void publish(const Emit& emit);
  void torn(const Emit& emit);
  void take_back(const Emit& emit);
  void send_data(uint64_t offset, std::string_view bytes, const Emit& emit);
  void send_hole(uint64_t offset, uint64_t length, const Emit& emit);
  void send_copy(uint64_t offset, uint64_t base_offset, uint64_t length, const Emit& emit);
  void flush_ranges(const Emit& emit);

  void hole_whole(uint64_t until, const Emit& emit);
  void slab_whole(const Emit& emit);
  Status hole_delta(uint64_t until, const Emit& emit);
  Status slab_delta(const Emit& emit);
  [[nodiscard]] uint64_t base_has(uint64_t index, std::string_view bytes) const;
  void count_run(bool kept);
  Status changed(std::string_view bytes, const Emit& emit);
  Status end_changed(const Emit& emit);
  Status end_run(const Emit& emit);
  Status settle(Status told, bool all_told);
  Status catch_up(size_t budget_bytes, const Emit& emit);
  delta::DeltaSink rolling_sink(const Emit& emit);

  StreamPlan plan_;
  std::unique_ptr<ContentHandle> handle_;
  ContentSource& source_;
  uint64_t size_ = 0;    // to be sent; lowered when the file turns out shorter
  uint64_t offset_ = 0;  // read and hashed so far
  uint64_t sent_ = 0;    // told to the receiver so far
  std::string slab_;     // what was read last, up to offset_
  std::string again_;    // what is read a second time
  ContentHasher hasher_;
  uint64_t looked_ = 0;  // delta: compared so far; what differs before it may still have to be told
  std::optional<delta::RollingSearch> search_;
  bool run_open_ = false;    // the search has seen [.., looked_) and may still hold some of it
  uint64_t gave_up_at_ = 0;  // the search did not tell all before: the rest is sent as it is
  StageCopy copy_;           // length 0: none waiting
  StageHole hole_;           // likewise; at most one of them waits
  StreamResult result_;
  Error error_;
  bool begun_ = false;
  bool shrank_ = false;
  bool young_ = true;         // a write may leave ctime as it is
  uint64_t young_until_ = 0;  // read while that was so
  bool reading_again_ = false;
  uint64_t again_at_ = 0;  // what lies before was found as it was sent
  uint64_t again_until_ = 0;
  std::optional<io::Stat> first_;    // after the first reading
  std::optional<io::Stat> touched_;  // first_, if times or attributes changed, but not the size
  uint64_t tail_at_ = 0;             // a block's beginning
  std::vector<Digest> tail_;         // of what lies from there on, read first; empty: it was not
  bool front_kept_ = true;           // what lies before is the base's, so far
  uint64_t run_blocks_ = 0;          // that differ, up to looked_
  uint64_t shifted_bytes_ = 0;       // in runs of delta::shift_run_blocks and more
  bool ended_ = false;
  bool torn_ = false;
};

}  // namespace repl::send
