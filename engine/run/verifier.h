// verifier.h: `repl verify`: is every peer's tree this one's?
//
// First everything written before the call is made durable on the peers (as `wait`); with `full`
// every byte is re-read here and there and compared with the index; then root fingerprints are
// compared at one position. A tree that keeps changing is asked again until an answer falls between
// two cuts, for compare_tries. With `sha256` both sides hash their whole tree (tree_proof.h)
// instead: what counts are two digests of one position, each from a tree that held still meanwhile.
//
// Thread: the engine's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/run/content_walk.h"
#include "engine/run/facts.h"
#include "engine/run/tree_parts.h"
#include "engine/run/tree_proof.h"

namespace repl::run {

class Verifier {
 public:
  // Sends to a peer; false: it is not connected.
  using Ask = std::function<bool(const std::string& node, const VerifyRequest& request)>;
  // What the primary lends for a step.
  struct Around {
    Ask ask;
    bool quiet = false;           // nothing is dirty, uncut or being scanned
    std::function<void()> drain;  // the kernel's events become hints
  };
  // Removals that are held: equal is then equal except held. Either may be empty.
  struct Held {
    std::function<std::vector<std::string>()> here;  // paths
    // What a peer's root fingerprint is that lacks nothing but some of them, if it is such a peer.
    std::function<std::optional<Fingerprint>(const std::string& node)> without;
  };
  explicit Verifier(TreeParts& parts, Held held = {}) : parts_(parts), held_(std::move(held)) {}

  // Called when the wait that comes before has ended.
  void begin(const VerifyOptions& options, std::vector<std::string> peers, const WaitAnswer& waited,
             std::function<void(VerifyAnswer)> answer);
  // True: there is more to do at once.
  [[nodiscard]] bool step(MonotonicTime now, const Around& primary);
  // Something may have changed: no proof that is under way counts.
  void disturb();
  void on_reply(const std::string& node, const VerifyReply& reply);
  void on_closed(const std::string& node);
  [[nodiscard]] std::optional<MonotonicTime> deadline() const;
  [[nodiscard]] bool running() const { return !runs_.empty(); }

 private:
  struct Peer {
    bool asked = false;
    bool done = false;
    bool read = false;     // it has re-read its bytes
    bool doubted = false;  // it differed once
    int tries = 0;
    MonotonicTime again{};
    std::optional<VerifyReply> reply;  // until this node's proof is there, too
    VerifyAnswer::Peer answer;
  };
  struct Proven {
    Position at;
    Fingerprint content;
    std::string sha256;
  };
  struct Run {
    uint64_t id = 0;
    VerifyOptions options;
    std::unique_ptr<ContentWalk> walk;
    bool walked = false;
    std::unique_ptr<TreeProof> proof;  // --sha256: under way
    std::optional<Proven> proven;
    int tries = 0;
    MonotonicTime again{};
    std::string problem;  // why there is no proof here
    MonotonicTime told{};
    std::map<std::string, Peer> peers;
    VerifyAnswer answer;
    std::function<void(VerifyAnswer)> done;
  };
  void take_found(Run& run, const ContentWalk::Found& found);
  [[nodiscard]] bool step_walk(Run& run, MonotonicTime now, const Around& primary);
  [[nodiscard]] bool step_proof(Run& run, MonotonicTime now, const Around& primary);
  void tell(Run& run, MonotonicTime now) const;
  void judge(Peer& peer, const VerifyReply& reply);
  void nothing_to_prove(Run& run);
  void judge_proof(Run& run, Peer& peer, MonotonicTime now);
  void finish(Run& run);
  TreeParts& parts_;
  Held held_;
  uint64_t next_id_ = 1;
  std::vector<std::unique_ptr<Run>> runs_;
};

}  // namespace repl::run
