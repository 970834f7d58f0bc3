// stored_answers.h: what a command is told of a tree whose daemon does not run, from what is
// stored: role, status, pause and resume. Nothing is started for it.
//
// Thread: blocks the caller.
#pragma once

#include <optional>

#include "cli/ask_tree.h"

namespace repl::cli {

// Nothing: another command, or a tree that the configuration does not have on this node. The answer
// is the daemon's, with {"running":false}; a failure says why nothing can be told (another process
// has the state).
[[nodiscard]] std::optional<TreeAnswer> stored_answer(const GlobalOptions& global,
                                                      const Request& request);

}  // namespace repl::cli
