// The daemon's result: {"paused":bool}.
#include <fmt/core.h>

#include "cli/ask_tree.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"

namespace repl::cli {
namespace {

int set_paused(const PauseOptions& options, const std::string& tree) {
  const TreeAnswer result =
      ask_tree(options.global,
               {.command = options.resume ? "resume" : "pause", .tree = tree, .options = {}});
  if (!result) return report_tree(tree, result.error());
  if (options.json) {
    print_json_line(tree, *result);
  } else if (get_bool(*result, "paused")) {
    fmt::print("{}: paused; changes are remembered until `repl resume {}`\n", tree, tree);
  } else {
    fmt::print("{}: replicates\n", tree);
  }
  // What was asked for is what it says.
  return get_bool(*result, "paused") == !options.resume ? exit_ok : exit_failed;
}

}  // namespace

int command_pause(const PauseOptions& options) {
  return for_each_tree(options.trees, options.global,
                       [&](const std::string& tree) { return set_paused(options, tree); });
}

}  // namespace repl::cli
