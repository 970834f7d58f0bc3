// node_state.h: what a node knows of itself in a tree, durably: role, position, lineage.
//
// Made durable (Index::flush) before anything is said or done on its strength. Stored in the index
// under the meta name node_state_name; the layout is frozen (docs/INDEX_FORMAT.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/model/position.h"
#include "engine/role/handover_state.h"

namespace repl::role {

inline constexpr std::string_view node_state_name = "node";

struct NodeState {
  Role role = Role::none;
  Position position;  // a primary's: its last cut; a secondary's: the last cut applied
  Epoch epoch_seen;   // the highest ever heard of
  Lineage lineage;
  bool clean_stop = false;  // the last run of a primary ended in order: its reign goes on
  Bits128 boot;             // of the last run (random/boot_id of the kernel)
  // Reigns of `lineage` that began after the power was lost in the one before: what a peer has of
  // that one beyond where it ended may be newer than what is here.
  std::vector<Reign> after_power_loss;
  uint64_t id_counter = 0;  // where the reign's id allocator stands
  HandoverState handover;
  bool operator==(const NodeState&) const = default;
};

[[nodiscard]] std::string encode(const NodeState& state);
[[nodiscard]] Result<NodeState> decode_node_state(std::string_view record);

// The first primary of a tree.
[[nodiscard]] NodeState found_tree(const Reign& reign);
// A primary starts again, under the kernel's `boot`. After a clean stop its reign goes on; else a
// new reign begins where the index stands, because cuts may have been sent that the index does not
// remember.
[[nodiscard]] NodeState begin_run(NodeState state, const Reign& fresh, const Bits128& boot = {});
// The node becomes the primary: a new epoch, and a reign that begins where it stands.
// `whole_to`: up to that cut all of its past is there; behind it something may be missing, so that
// who has more is not taken for one of its past.
[[nodiscard]] NodeState promote(NodeState state, const Reign& fresh,
                                std::optional<CutNumber> whole_to = {});
// This node is the primary from here on, in a reign of its own that begins at its position. Reigns
// that it followed and has no cut of are no part of its history.
[[nodiscard]] NodeState begin_reign(NodeState state, const Reign& fresh, Epoch epoch);
// Another node is the primary from here on; this one's position is where that reign began or
// before.
[[nodiscard]] NodeState give_way(NodeState state, const LineageStep& reign);
// A secondary takes a primary's lineage and position for its own.
[[nodiscard]] NodeState follow(NodeState state, const Lineage& lineage, const Position& position);

// True if a history at `position` is part of `lineage` for certain: its reign is a step, and its
// cut is not beyond where the next step began. Of the founding reign of a lineage that may be
// pruned nobody knows that.
[[nodiscard]] bool is_ancestor(const Position& position, const Lineage& lineage);
// May `position`, of a reign that is not in `lineage`, be part of what was pruned from it? The
// founding reign is never pruned: `founding` is the other history's.
[[nodiscard]] bool may_be_pruned(const Position& position, const Reign& founding,
                                 const Lineage& lineage);
// Is `position` in a reign that ended with a loss of power, beyond what is remembered of it?
[[nodiscard]] bool lost_with_power(const Position& position, const Lineage& lineage,
                                   const std::vector<Reign>& after_power_loss);
// The last cut of that step which the history holds, if it went on behind it: with steps that began
// further back (promote()) than where the one before stood.
[[nodiscard]] CutNumber went_on_at(const Lineage& lineage, size_t step, size_t steps);
// Reigns behind the founding one may have been pruned.
[[nodiscard]] bool may_have_gap(const Lineage& lineage);
[[nodiscard]] bool has_reign(const Lineage& lineage, const Reign& reign);

}  // namespace repl::role
