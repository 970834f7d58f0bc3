// verifier.h: `repl verify`: is every peer's tree this one's?
//
// First everything written before the call is made durable on the peers (as `wait`); with `full`
// every byte is re-read here and there and compared with the index; then root fingerprints are
// compared at one position. A tree that keeps changing is asked again until an answer falls between
// two cuts, for compare_tries.
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

namespace repl::run {

class Verifier {
 public:
  // Sends to a peer; false: it is not connected.
  using Ask = std::function<bool(const std::string& node, const VerifyRequest& request)>;
  explicit Verifier(TreeParts& parts) : parts_(parts) {}

  // Called when the wait that comes before has ended.
  void begin(const VerifyOptions& options, std::vector<std::string> peers, const WaitAnswer& waited,
             std::function<void(VerifyAnswer)> answer);
  // True: there is more to do at once.
  [[nodiscard]] bool step(MonotonicTime now, const Ask& ask);
  void on_reply(const std::string& node, const VerifyReply& reply);
  void on_closed(const std::string& node);
  [[nodiscard]] std::optional<MonotonicTime> deadline() const;

 private:
  struct Peer {
    bool asked = false;
    bool done = false;
    int tries = 0;
    MonotonicTime again{};
    VerifyAnswer::Peer answer;
  };
  struct Run {
    uint64_t id = 0;
    VerifyOptions options;
    std::unique_ptr<ContentWalk> walk;
    bool walked = false;
    std::map<std::string, Peer> peers;
    VerifyAnswer answer;
    std::function<void(VerifyAnswer)> done;
  };
  void take_found(Run& run, const ContentWalk::Found& found);
  void judge(Peer& peer, const VerifyReply& reply);
  void finish(Run& run);
  TreeParts& parts_;
  uint64_t next_id_ = 1;
  std::vector<std::unique_ptr<Run>> runs_;
};

}  // namespace repl::run
