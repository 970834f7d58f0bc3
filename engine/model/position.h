// position.h: how far a node is, and whose child its history is.
//
// Equality and ancestry are decided by reign ids through the lineage, never by comparing the
// numbers of different reigns.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/ids.h"

namespace repl {

struct Position {
  Epoch epoch;
  Reign reign;  // unset: this node has no lineage
  CutNumber cut;
  bool operator==(const Position&) const = default;
};

// One reign of the tree's past: it began when its parent was at `began_at`.
struct LineageStep {
  Reign reign;
  Epoch epoch;
  CutNumber began_at;  // the cut of the parent reign; cuts go on counting from there
  bool operator==(const LineageStep&) const = default;
};

// Oldest first; the last step is the current reign. Bounded by limits::lineage_reigns_max: pruned
// means "compare in full", not "unrelated".
using Lineage = std::vector<LineageStep>;

enum class Role : uint8_t { none = 0, primary = 1, secondary = 2 };

}  // namespace repl
