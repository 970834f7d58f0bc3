// contact.h: two nodes meet: what each may do. Pure functions over what both said.
//
// The rule behind every row: a node that cannot show that it is the current primary pushes nothing,
// and nothing is applied over a history that the primary does not know to be its own past. Where
// the past is not certain but related, the trees are compared in full; where it is not related,
// both hold and say so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/message.h"

namespace repl::role {

// What this node knows of itself at the moment of contact.
using Self = Hello;

enum class Send : uint8_t {
  nothing,     // hold or wait: `reason` says why
  first_sync,  // the peer is empty and has no lineage
  changes,     // the peer is at an ancestor: what changed since its cut
  compare,     // related, but not certain where: compare fingerprints from the root down
  in_sync,     // equal position and fingerprint
};

// The primary's side. `digests_needed`: decide again once every content digest of our own tree is
// known.
struct SendDecision {
  Send send = Send::nothing;
  CutNumber since;    // for `changes`
  bool wait = false;  // not a hold: something is still under way
  bool digests_needed = false;
  std::string reason;  // for a person; empty when sending
};
// `after_power_loss`: NodeState's.
[[nodiscard]] SendDecision decide_send(const Self& self, const Hello& peer, bool join_other_content,
                                       const std::vector<Reign>& after_power_loss = {});

// The secondary's side: whether what this peer sends may be applied.
struct ReceiveDecision {
  bool accept = false;
  bool wait = false;
  // What is here would be lost, were it applied: a catch-up keeps it (Hello::catch_up).
  bool diverged = false;
  std::string reason;
};
[[nodiscard]] ReceiveDecision decide_receive(const Self& self, const Hello& peer,
                                             bool join_other_content);

// Who becomes the first primary: the first of the tree's nodes, once every listed node has been
// heard and none has a lineage.
struct NodeHeard {
  std::string node;
  bool heard = false;
  bool has_lineage = false;
};
[[nodiscard]] bool may_found(bool first_in_list, const Self& self,
                             const std::vector<NodeHeard>& others);

}  // namespace repl::role
