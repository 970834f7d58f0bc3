#include "tests/sim/roles_contact.h"

#include <algorithm>

#include "engine/role/handover.h"

namespace repl::sim {

Meeting meet(const Hello& primary, const Hello& secondary) {
  const role::SendDecision send = role::decide_send(primary, secondary, false);
  const role::ReceiveDecision receive = role::decide_receive(secondary, primary, false);
  Meeting out{.sends = send.send != role::Send::nothing, .applies = receive.accept, .held = {}};
  if (!send.wait && !out.sends) out.held = send.reason;
  if (!receive.wait && !out.applies) out.held = receive.reason;
  // A node with cuts that the primary's history does not contain is held until a person decides.
  if (!is_past(secondary.position, primary.lineage)) {
    out.applies = false;
    out.held = "node " + secondary.node + " has changes of its own";
  }
  return out;
}

bool is_past(const Position& position, const Lineage& lineage) {
  if (!position.reign.is_set() || role::is_ancestor(position, lineage)) return true;
  for (size_t i = 0; i + 1 < lineage.size(); ++i)
    if (lineage[i].reign == position.reign) return lineage[i + 1].epoch == lineage[i].epoch;
  return false;
}

std::optional<role::NodeState> fenced_by(const role::NodeState& self, const Hello& peer) {
  if (self.role != Role::primary || peer.epoch_seen <= self.position.epoch) return std::nullopt;
  if (!role::has_reign(peer.lineage, self.position.reign) ||
      peer.lineage.back().epoch <= self.position.epoch) {
    return std::nullopt;
  }
  role::NodeState next = self;
  next.role = Role::secondary;
  next.epoch_seen = std::max(next.epoch_seen, peer.epoch_seen);
  next.handover = role::HandoverState{};
  return next;
}

role::NodeState promoted(role::NodeState self, const Reign& fresh) {
  if (role::waits_for_answer(self)) return role::take_back(std::move(self), fresh);
  const Epoch next{self.epoch_seen.value + 1};
  self = role::begin_reign(std::move(self), fresh, next);
  self.handover = {};
  self.handover.hook_due = true;
  return self;
}

}  // namespace repl::sim
