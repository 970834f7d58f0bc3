// daemon_request.h: what the commands that ask a daemon have in common: which trees, and what a
// failure means as an exit status.
//
// Thread: blocks the caller.
#pragma once

#include <string>
#include <vector>

#include "cli/config.h"
#include "cli/options.h"
#include "engine/base/error.h"

namespace repl::cli {

[[nodiscard]] int exit_code_of(const Error& error);
// Of ask(): what is not found is the daemon.
[[nodiscard]] int exit_code_of_asking(const Error& error);
// Prints "repl: ..." to stderr and returns the exit status.
int report(const Error& error);
int report_asking(const Error& error);
int report(const std::string& message, int exit);

// The host's name, for find_node.
[[nodiscard]] std::string host_name();

// Configured trees of this node (if the configuration is readable) and those whose daemon runs,
// sorted.
[[nodiscard]] std::vector<std::string> known_trees(const GlobalOptions& global);
[[nodiscard]] inline std::vector<std::string> trees_or_all(const std::vector<std::string>& trees,
                                                           const GlobalOptions& global) {
  return trees.empty() ? known_trees(global) : trees;
}

// The same for a command about another node: without `trees` those of the configuration that both
// nodes have. Error{invalid} if there is none, or no such node.
[[nodiscard]] Result<std::vector<std::string>> trees_or_shared(
    const std::vector<std::string>& trees, const GlobalOptions& global, const std::string& peer);

}  // namespace repl::cli
