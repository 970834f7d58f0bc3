#include "engine/role/parting.h"

#include <algorithm>

#include "engine/role/node_state.h"

namespace repl::role {

namespace {

// The steps of the lineage that the node's position has reached: what it heard of beyond is not its
// history yet.
size_t steps_reached(const Hello& node) {
  for (size_t i = 0; i < node.lineage.size(); ++i) {
    if (node.lineage[i].reign == node.position.reign) return i + 1;
  }
  return 0;
}

CutNumber end_of(const Hello& node, size_t step, size_t reached) {
  return step + 1 < reached ? went_on_at(node.lineage, step, reached) : node.position.cut;
}

}  // namespace

std::optional<Parting> parting(const Hello& ours, const Hello& theirs) {
  const size_t our_steps = steps_reached(ours);
  const size_t their_steps = steps_reached(theirs);
  for (size_t i = our_steps; i-- > 0;) {
    for (size_t j = their_steps; j-- > 0;) {
      if (ours.lineage[i].reign != theirs.lineage[j].reign) continue;
      // Behind the founding reign of a pruned lineage there were others: nobody knows where it
      // ended.
      if ((i == 0 && may_have_gap(ours.lineage)) || (j == 0 && may_have_gap(theirs.lineage)))
        return std::nullopt;
      Parting at;
      at.reign = ours.lineage[i].reign;
      at.epoch = ours.lineage[i].epoch;
      at.cut = std::min(end_of(ours, i, our_steps), end_of(theirs, j, their_steps));
      at.ours_beyond = ours.position.cut > at.cut;
      at.theirs_beyond = theirs.position.cut > at.cut;
      // Ours, too: what a primary forgot in a crash is in its tree, but not what another one did.
      at.promoted = (j + 1 < their_steps && theirs.lineage[j + 1].epoch > at.epoch) ||
                    (i + 1 < our_steps && ours.lineage[our_steps - 1].epoch > at.epoch);
      return at;
    }
  }
  return std::nullopt;
}

bool diverged(const Parting& parting) { return parting.ours_beyond && parting.promoted; }

bool superseded(const Hello& self, const Hello& peer) {
  if (self.role != Role::primary || peer.lineage.empty() ||
      peer.lineage.back().epoch <= self.position.epoch) {
    return false;
  }
  return std::ranges::any_of(self.lineage, [&](const LineageStep& step) {
    return step.epoch == self.position.epoch && has_reign(peer.lineage, step.reign);
  });
}

bool rivals(const Hello& self, const Hello& peer) {
  return self.role == Role::primary && peer.role == Role::primary && !peer.drifted &&
         !superseded(peer, self) && !superseded(self, peer);
}

bool vouches(const Hello& self, const Hello& peer) {
  if (peer.epoch_seen > self.position.epoch || peer.role == Role::primary) return false;
  const bool ahead_of_us =
      peer.position.reign == self.position.reign && peer.position.cut > self.position.cut;
  return !ahead_of_us;
}

bool heard_enough(size_t nodes, size_t vouching_peers) { return 2 * (vouching_peers + 1) > nodes; }

}  // namespace repl::role
