// stored_tree.h: what a node has stored of a tree that no process runs, and the little of it that a
// command may change. The index is locked meanwhile, as an engine would.
//
// Thread: blocks the caller. Errors: not_found (nothing is stored: the tree never ran here), else
// those of Index::open, as that another process has it.
#pragma once

#include <string>

#include "engine/index/index.h"
#include "engine/role/node_state.h"

namespace repl::run {

struct StoredTree {
  role::NodeState state;
  IndexCounts counts;
  bool paused = false;
  bool incomplete = false;  // a replica that is not at a whole cut
  std::string consistency;  // of a replica: empty (exact), or applier.h's words
};
// `state_dir` is TreeOptions::state_dir.
[[nodiscard]] Result<StoredTree> read_stored_tree(const std::string& state_dir,
                                                  const std::string& tree);
// Durably; the next start stands still, or goes on.
[[nodiscard]] Status store_paused(const std::string& state_dir, const std::string& tree,
                                  bool paused);

}  // namespace repl::run
