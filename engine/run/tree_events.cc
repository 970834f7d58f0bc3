#include "engine/run/tree_events.h"

namespace repl::run {

void TreeEvents::tell(TreeEvent::Kind kind, const std::string& peer,
                      const std::string& reason) const {
  if (!sink_) return;
  sink_(TreeEvent{.kind = kind,
                  .peer = peer,
                  .reason = reason,
                  .epoch = state_.position.epoch,
                  .role = state_.role});
}

void TreeEvents::held(const std::string& what, const std::string& peer, const std::string& reason) {
  const auto [at, fresh] = holds_.try_emplace(what, reason);
  if (!fresh && at->second == reason) return;
  at->second = reason;
  tell(TreeEvent::Kind::held, peer, reason);
}

void TreeEvents::synced(const std::string& peer) {
  if (synced_.insert(peer).second) tell(TreeEvent::Kind::synced, peer, {});
}

}  // namespace repl::run
