// The daemon's progress: {"step":TEXT}; its result: {"from":NODE,"to":NODE,"epoch":n,"cut":n,
// "seconds":x,"would":bool}.
#include <fmt/core.h>

#include <chrono>
#include <cmath>

#include "cli/ask_tree.h"
#include "cli/commands.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/status_view.h"
#include "engine/base/limits.h"

namespace repl::cli {
namespace {

void print_switchover(const std::string& tree, const Json& result) {
  const std::string from = get_text(result, "from"), to = get_text(result, "to");
  if (get_bool(result, "would")) {
    fmt::print("{}: {} would hand over to {}; nothing was done\n", tree, from, to);
    return;
  }
  fmt::print("{}: {} is the primary now (was {}), epoch {}, from cut {} on; it took {}\n", tree, to,
             from, get_number<uint64_t>(result, "epoch"), get_number<uint64_t>(result, "cut"),
             human_seconds(get_real(result, "seconds")));
}

// Where the daemon did not say how it ended, it may have happened.
AskFailure with_advice(const std::string& tree, AskFailure failure) {
  if (failure.answered || (failure.exit != exit_timeout && failure.exit != exit_failed)) {
    return failure;
  }
  failure.error += "; `repl role " + tree + "` on both nodes says which of them is the primary";
  return failure;
}

int switch_over(const SwitchoverOptions& options, const std::string& tree) {
  const auto ms = static_cast<int64_t>(std::ceil(options.timeout_seconds * 1000));
  StepLine steps(tree);
  const TreeAnswer result = ask_tree(
      options.global,
      {.command = "switchover",
       .tree = tree,
       .options = {{"to", options.to},
                   {"timeout_ms", std::to_string(ms)},
                   {"unguarded", options.unguarded ? "true" : "false"},
                   {"dry_run", options.dry_run ? "true" : "false"}}},
      // The daemon keeps the time; this one is for a daemon that does not answer.
      std::chrono::milliseconds(ms + limits::switchover_answer_ms_max), [&](const Json& progress) {
        if (!options.json) steps.say(get_text(progress, "step"));
      });
  if (!result) return report_tree(tree, with_advice(tree, result.error()));
  if (options.json) {
    print_json_line(tree, *result);
  } else {
    print_switchover(tree, *result);
  }
  return exit_ok;
}

}  // namespace

int command_switchover(const SwitchoverOptions& options) {
  const Result<std::vector<std::string>> trees =
      trees_or_shared(options.trees, options.global, options.to);
  if (!trees) return report(trees.error().message, exit_usage);
  return for_each_tree(*trees, options.global,
                       [&](const std::string& tree) { return switch_over(options, tree); });
}

}  // namespace repl::cli
