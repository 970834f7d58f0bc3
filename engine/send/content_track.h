// content_track.h: contents that travel in pieces, one after the other: how each of them travels,
// what must be asked of the peer for that, and its stream.
//
// While one waits for a signature from the peer, others go on. A stream rides in the background
// lane, so that cuts overtake it, and is at its end (`complete`) when all of it was handed to the
// connection: its end and its record, which are told in bulk, cannot arrive before it. Contents of
// limits::stream_step_bytes at most ride in bulk: there is nothing to overtake.
//
// A file that did not hold still rests: what was told of it is taken back, and the owner says when
// it is read again.
//
// Thread: one owner. Memory: one slab, rolling_signatures_max signatures and block tables, and one
// Pending per content.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/delta/strategy.h"
#include "engine/index/index.h"
#include "engine/model/lane.h"
#include "engine/model/message.h"
#include "engine/send/content_source.h"
#include "engine/send/content_streamer.h"
#include "engine/send/streamed_contents.h"
#include "engine/send/work.h"

namespace repl::send {

using StagesOnPeer = std::unordered_map<StageId, uint64_t>;

class ContentTrack {
 public:
  // complete: put_complete() wants an open cut.
  enum class Drain : uint8_t { more, waiting, complete, idle };
  struct Parts {
    const Index& index;
    ContentSource& source;
    const StreamedContents& streamed;
    StagesOnPeer* stages = nullptr;  // whole contents go on where they stopped
    std::function<void(Message, Lane)> emit;
    std::function<size_t(Lane)> room;  // bytes
    std::function<bool()> drained;     // nothing waits in the background lane
    std::function<void(Message)> ask;
    // The end of its stream is told; the streamer says what was sent.
    std::function<void(Work, std::unique_ptr<ContentStreamer>)> finished;
    // A stream begins. True: it is published however it is read.
    std::function<bool(const Work&)> begins;
    // It cannot be read; what was told of it was taken back.
    std::function<void(Work, const Error& why)> failed;
  };
  explicit ContentTrack(const Parts& parts) : parts_(parts) {}

  void add(Work work);
  void rest(Work work);  // one that did not hold still
  void wake_resting();
  // Of those that rest, the most torn reads; 0: none rests.
  [[nodiscard]] int torn_reads() const;
  // One step: reads limits::stream_step_bytes at most.
  [[nodiscard]] Drain drain();
  void put_complete();
  // Answers to what was asked; others are ignored. `protocol` for what is too large.
  [[nodiscard]] Status on_signature(const Signature& signature);

  [[nodiscard]] bool empty() const { return pending_.empty() && !streamer_; }
  [[nodiscard]] size_t size() const { return pending_.size() + (streamer_ ? 1 : 0); }
  // All of the stream is told but its end.
  [[nodiscard]] bool at_end() const { return end_.has_value(); }
  // Null: none. The first that `is` says yes to.
  [[nodiscard]] Work* find(const std::function<bool(const Work&)>& is);
  // Its stream has begun: what changed since may be in what was read already, or not. Null: it has
  // not.
  [[nodiscard]] ContentStreamer* stream_of(const Work& work) const;
  // The file is found under another name now.
  void renamed(Work& work, const Key& to);
  // What was told of it is taken back.
  Work cancel(const Key& key);

 private:
  struct Pending {
    enum class State : uint8_t { resting, fresh, asked, ready };
    Work work;
    State state = State::fresh;
    SignatureKind asked = SignatureKind::blocks;
    std::string received;  // parts of the signature that was asked for
    bool signature_refused = false;
    std::optional<std::vector<Digest>> table;
    bool table_asked = false;
    StreamPlan plan;
  };
  [[nodiscard]] Drain begin_next();
  [[nodiscard]] Drain step_stream();
  void end_stream(ContentStreamer::Step step);
  void search(Work work, const StreamPlan& aligned);
  void prepare(Pending& pending);
  void request(Pending& pending, SignatureKind kind);
  [[nodiscard]] Status table_arrived(Pending& pending, bool refused);
  void find_table(Pending& pending);
  [[nodiscard]] delta::At find_signature(Pending& pending);
  [[nodiscard]] std::optional<delta::Overlap> overlap(const Pending& pending,
                                                      ContentHandle& handle);
  void start_stream(Pending pending);

  const Parts& parts_;
  std::deque<Pending> pending_;
  std::optional<Work> streaming_;
  std::unique_ptr<ContentStreamer> streamer_;
  Lane lane_ = Lane::background;  // of the stream
  std::optional<StageEnd> end_;   // of the stream, not told yet
};

}  // namespace repl::send
