// The daemon's result: that of difference_view.h, and "peer".
#include <fmt/core.h>

#include "cli/ask_tree.h"
#include "cli/commands.h"
#include "cli/difference_view.h"
#include "cli/exit_codes.h"
#include "cli/status_view.h"

namespace repl::cli {

int command_diff(const DiffOptions& options) {
  Request request{.command = "diff", .tree = options.tree, .options = {}};
  if (!options.peer.empty()) request.options["peer"] = options.peer;
  StepLine steps(options.tree);
  const TreeAnswer result = ask_tree_with_peer(options.global, request, [&](const Json& progress) {
    if (!options.json) steps.say(get_text(progress, "phase"));
  });
  if (!result) return report_tree(options.tree, result.error());
  const uint64_t different = differences(*result);
  if (options.json) {
    print_json_line(options.tree, *result);
  } else if (different == 0) {
    fmt::print("{}: equal to {}\n", options.tree, get_text(*result, "peer"));
  } else {
    fmt::print("{}: differs from {} in {}\n{}", options.tree, get_text(*result, "peer"),
               counted(different, "path", "paths"), render_differences(*result));
  }
  return different == 0 ? exit_ok : exit_failed;
}

}  // namespace repl::cli
