// tree_events.h: what is so now, step after step, becomes events: each hold once while it lasts,
// each peer once when it came into sync. What was told is forgotten when the tree is closed.
//
// Thread: the engine's; the sink must not block.
// Bounds: one entry per kind of hold and per peer.
#pragma once

#include <map>
#include <set>
#include <string>

#include "engine/role/node_state.h"
#include "engine/run/tree_event.h"

namespace repl::run {

class TreeEvents {
 public:
  // Both outlive it. An empty sink: nobody wants to hear.
  TreeEvents(const EventSink& sink, const role::NodeState& state) : sink_(sink), state_(state) {}

  [[nodiscard]] bool wanted() const { return static_cast<bool>(sink_); }
  // With the node's present epoch and role.
  void tell(TreeEvent::Kind kind, const std::string& peer, const std::string& reason) const;

  // `what` is one thing that can be held: told when it begins, and when its reason becomes another
  // (so no counts in reasons), until not_held().
  void held(const std::string& what, const std::string& peer, const std::string& reason);
  void not_held(const std::string& what) { holds_.erase(what); }
  void synced(const std::string& peer);
  void not_synced(const std::string& peer) { synced_.erase(peer); }

 private:
  const EventSink& sink_;
  const role::NodeState& state_;
  std::map<std::string, std::string> holds_;  // what → the reason that was told
  std::set<std::string> synced_;
};

}  // namespace repl::run
