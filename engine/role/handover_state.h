// handover_state.h: where a planned switchover stands on this node, durably; part of NodeState.
//
// The stages and their numbers are frozen (docs/INDEX_FORMAT.md). That this node took over needs no
// stage: its lineage says so, also after a crash and after it handed the tree on.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/ids.h"

namespace repl::role {

enum class HandoverStage : uint8_t {
  none = 0,
  prepared = 1,   // secondary: takes over at a grant of `token`
  draining = 2,   // primary, still: writers are stopped, the last cut is on its way to `peer`
  handed = 3,     // secondary, no primary any more: `peer` has `final_cut` and may be the primary
  cancelled = 4,  // a grant of `token` came, and is never honoured
};

struct HandoverState {
  HandoverStage stage = HandoverStage::none;
  Bits128 token;        // of one switchover, random
  std::string peer;     // the other of the two
  CutNumber final_cut;  // handed
  Epoch epoch;          // the successor's, if it takes over
  // A primary that still has to open its guard and run on_promote: it became one by a switchover,
  // or gave one up after on_demote.
  bool hook_due = false;
  bool operator==(const HandoverState&) const = default;
};

}  // namespace repl::role
