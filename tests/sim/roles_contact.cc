#include "tests/sim/roles_contact.h"

#include <algorithm>

#include "engine/role/parting.h"

namespace repl::sim {

Meeting meet(const Hello& primary, const Hello& secondary) {
  const role::SendDecision send = role::decide_send(primary, secondary, false);
  const role::ReceiveDecision receive = role::decide_receive(secondary, primary, false);
  Meeting out{.sends = send.send != role::Send::nothing, .applies = receive.accept, .held = {}};
  if (!send.wait && !out.sends) out.held = send.reason;
  if (!receive.wait && !out.applies) out.held = receive.reason;
  return out;
}

std::optional<role::NodeState> fenced_by(const Hello& self, const Hello& peer,
                                         const role::NodeState& state) {
  if (!role::superseded(self, peer)) return std::nullopt;
  role::NodeState next = state;
  next.role = Role::secondary;
  next.epoch_seen = std::max(next.epoch_seen, peer.epoch_seen);
  next.handover = role::HandoverState{};
  return next;
}

}  // namespace repl::sim
