// large_contents.h: contents that travel in pieces: how each of them travels, what must be asked of
// the peer for that, and one stream after the other.
//
// While one waits for a signature from the peer, others go on.
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
#include "engine/model/message.h"
#include "engine/send/content_source.h"
#include "engine/send/content_streamer.h"
#include "engine/send/streamed_contents.h"
#include "engine/send/work.h"

namespace repl::send {

class LargeContents {
 public:
  enum class Drain : uint8_t { more, waiting, idle };
  struct Parts {
    const Index& index;
    ContentSource& source;
    const StreamedContents& streamed;
    std::function<void(Message)> emit;  // in order
    std::function<void(Message)> ask;
    // All pieces are told; the streamer says what was sent.
    std::function<void(Work, std::unique_ptr<ContentStreamer>)> finished;
    // It cannot be read; what was told of it was taken back.
    std::function<void(Work, const Error& why)> failed;
  };
  explicit LargeContents(Parts parts) : parts_(std::move(parts)) {}

  void add(Work work);
  // One step of at most `budget_bytes`.
  [[nodiscard]] Drain drain(size_t budget_bytes);
  // Answers to what was asked; others are ignored. `protocol` for what is too large.
  [[nodiscard]] Status on_signature(const Signature& signature);
  // What the peer has staged, so that whole contents go on where they stopped.
  void set_stages(const std::vector<StageProgress>& stages);
  void forget_stages() { stages_.clear(); }

  [[nodiscard]] bool empty() const { return pending_.empty() && !streamer_; }
  [[nodiscard]] size_t size() const { return pending_.size() + (streamer_ ? 1 : 0); }
  [[nodiscard]] const Work* find(const Key& key) const;
  // The file is found under another name now.
  void renamed(const Key& from, const Key& to);
  // What was told of it is taken back. Nothing if it is not here.
  void cancel(const Key& key);
  // It has begun: a change of the file may be in what was read already, or not.
  [[nodiscard]] bool begun(const Key& key) const { return streaming_ && streaming_->key == key; }

 private:
  struct Pending {
    enum class State : uint8_t { fresh, asked, ready };
    Work work;
    State state = State::fresh;
    SignatureKind asked = SignatureKind::blocks;
    std::string received;  // parts of the signature that was asked for
    bool signature_refused = false;
    std::optional<std::vector<Digest>> table;
    bool table_asked = false;
    StreamPlan plan;
  };
  void prepare(Pending& pending);
  void request(Pending& pending, SignatureKind kind);
  [[nodiscard]] Status table_arrived(Pending& pending, bool refused);
  void find_table(Pending& pending);
  [[nodiscard]] delta::SignatureAt find_signature(Pending& pending);
  [[nodiscard]] std::optional<delta::Overlap> overlap(const Pending& pending,
                                                      ContentHandle& handle);
  void start_stream(Pending pending);

  Parts parts_;
  std::deque<Pending> pending_;
  std::optional<Work> streaming_;
  std::unique_ptr<ContentStreamer> streamer_;
  std::unordered_map<StageId, uint64_t> stages_;
};

}  // namespace repl::send
