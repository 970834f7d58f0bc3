// parting.h: where the histories of two nodes part. Pure.
//
// Cuts go on counting through the reigns of one history, so that within it a number says how far;
// between two histories only the last reign that both have, and its last cut that both have, mean
// anything.
#pragma once

#include <optional>

#include "engine/model/message.h"

namespace repl::role {

struct Parting {
  Reign reign;                 // the last that both have
  Epoch epoch;                 // its
  CutNumber cut;               // the last cut of it that both have
  bool ours_beyond = false;    // we have cuts behind that
  bool theirs_beyond = false;  // they have
  bool promoted = false;  // theirs goes on with a promotion there, or there is one in ours beyond
};
// Nothing: they have no reign in common, or what they had was pruned (may_be_pruned()).
[[nodiscard]] std::optional<Parting> parting(const Hello& ours, const Hello& theirs);

// We have what the other's history does not know, and a promotion lies between: neither may
// take the place of the other unseen.
[[nodiscard]] bool diverged(const Parting& parting);

// Was a primary's epoch ended by a promotion that came after its own reign? Any node's lineage
// tells, also of one that is not the new primary.
[[nodiscard]] bool superseded(const Hello& self, const Hello& peer);

// Of a primary: is the peer one, too, and does neither history end the other's reign? One that says
// itself that what it has may be old sends nothing, and is none.
[[nodiscard]] bool rivals(const Hello& self, const Hello& peer);

// May what this peer says count towards knowing that a primary is the current one?
[[nodiscard]] bool vouches(const Hello& self, const Hello& peer);
// Heard enough of `nodes` (the primary is one of them): more than half, so that of two both, and of
// three one that is down does not stop the others.
[[nodiscard]] bool heard_enough(size_t nodes, size_t vouching_peers);

}  // namespace repl::role
