// node_state.h: what a node knows of itself in a tree, durably: role, position, lineage.
//
// Made durable (Index::flush) before anything is said or done on its strength. Stored in the index
// under the meta name node_state_name; the layout is frozen (docs/INDEX_FORMAT.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/model/position.h"

namespace repl::role {

inline constexpr std::string_view node_state_name = "node";

struct NodeState {
  Role role = Role::none;
  Position position;  // a primary's: its last cut; a secondary's: the last cut applied
  Epoch epoch_seen;   // the highest ever heard of
  Lineage lineage;
  bool clean_stop = false;  // the last run of a primary ended in order: its reign goes on
  bool incomplete = false;  // between the pieces of a first sync
  uint64_t id_counter = 0;  // where the reign's id allocator stands
  bool operator==(const NodeState&) const = default;
};

[[nodiscard]] std::string encode(const NodeState& state);
[[nodiscard]] Result<NodeState> decode_node_state(std::string_view record);

// The first primary of a tree.
[[nodiscard]] NodeState found_tree(const Reign& reign);
// A primary starts again. After a clean stop its reign goes on; else a new reign begins where the
// index stands, because cuts may have been sent that the index does not remember.
[[nodiscard]] NodeState begin_run(NodeState state, const Reign& fresh);
// A secondary takes a primary's lineage and position for its own.
[[nodiscard]] NodeState follow(NodeState state, const Lineage& lineage, const Position& position);

// True if a history at `position` is part of `lineage`: its reign is a step, and its cut is not
// beyond where the next step began.
[[nodiscard]] bool is_ancestor(const Position& position, const Lineage& lineage);
[[nodiscard]] bool has_reign(const Lineage& lineage, const Reign& reign);

}  // namespace repl::role
