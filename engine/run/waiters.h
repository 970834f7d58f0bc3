// waiters.h: `repl wait`: who waits for which cut to have reached the peers.
//
// Exact: the events that the kernel had when the call came are drained, what they name is in a cut,
// and that cut (or a later one) is acknowledged by every peer at the asked level, with nothing held
// back.
//
// Thread: the engine's.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/run/facts.h"

namespace repl::run {

// Where one peer stands, for a waiter.
struct PeerStanding {
  std::string node;
  bool connected = false;
  bool held = false;  // the tree or the peer waits for a person
  std::string reason;
  CutNumber received;
  CutNumber applied;
  CutNumber durable;
  uint64_t held_keys = 0;  // keys that differ because a person must decide
  bool owes = false;       // something of an acknowledged cut must still be sent again, or proved
};

// Where this node stands.
struct OwnStanding {
  CutNumber cut;  // the newest
  bool scanning = false;
  std::optional<MonotonicTime> oldest_change;  // that is in no cut yet
  uint64_t unreadable = 0;                     // keys that no cut can hold
};

class Waiters {
 public:
  // Call with the kernel's events drained: what was written before has been marked by `now`.
  void add(const WaitRequest& request, std::function<void(WaitAnswer)> answer, MonotonicTime now);
  void step(MonotonicTime now, const OwnStanding& own, const std::vector<PeerStanding>& peers);
  [[nodiscard]] bool empty() const { return waiters_.empty(); }
  [[nodiscard]] std::optional<MonotonicTime> deadline(MonotonicTime now) const;
  void fail_all(const std::string& why);

 private:
  struct Waiter {
    WaitRequest request;
    std::function<void(WaitAnswer)> answer;
    MonotonicTime since{};
    std::optional<MonotonicTime> until;
    std::optional<CutNumber> target;
  };
  [[nodiscard]] static std::optional<WaitAnswer> judge(const Waiter& waiter, MonotonicTime now,
                                                       uint64_t unreadable,
                                                       const std::vector<PeerStanding>& peers);
  std::vector<Waiter> waiters_;
};

}  // namespace repl::run
