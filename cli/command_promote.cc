// The daemon's result: {"epoch":n,"was":ROLE,"already":bool,"would":bool,"held":[PATH...],
// "held_count":n,"warnings":[TEXT...]}; a refusal fails with exit_held and says what to do.
#include <fmt/core.h>

#include "cli/ask_tree.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/status_view.h"

namespace repl::cli {
namespace {

void print_promotion(const std::string& tree, const Json& result) {
  const auto epoch = get_number<uint64_t>(result, "epoch");
  const std::string was = get_text(result, "was");
  const bool would = get_bool(result, "would");
  if (get_bool(result, "already")) {
    fmt::print("{}: already the primary, epoch {}\n", tree, epoch);
  } else if (would) {
    fmt::print("{}: would become the primary (now {}), epoch {}; nothing was done\n", tree, was,
               epoch);
  } else {
    fmt::print("{}: the primary now (was {}), epoch {}\n", tree, was, epoch);
  }
  if (const auto held = get_number<uint64_t>(result, "held_count")) {
    fmt::print("  {} held here {} sent to the peers:\n", counted(held, "change", "changes"),
               would ? "would be" : "will be");
    uint64_t shown = 0;
    for (const Json& path : get_member(result, "held")) {
      if (!path.is_string()) continue;
      fmt::print("    {}\n", path.get<std::string>());
      ++shown;
    }
    if (held > shown) fmt::print("    ... and {} more\n", held - shown);
  }
  for (const Json& warning : get_member(result, "warnings")) {
    if (warning.is_string()) fmt::print("  warning: {}\n", warning.get<std::string>());
  }
}

int promote(const PromoteOptions& options, const std::string& tree) {
  const TreeAnswer result =
      ask_tree(options.global, {.command = "promote",
                                .tree = tree,
                                .options = {{"force", options.force ? "true" : "false"},
                                            {"dry_run", options.dry_run ? "true" : "false"}}});
  if (!result) return report_tree(tree, result.error());
  if (options.json) {
    print_json_line(tree, *result);
  } else {
    print_promotion(tree, *result);
  }
  return exit_ok;
}

}  // namespace

int command_promote(const PromoteOptions& options) {
  return for_each_tree(options.trees, options.global,
                       [&](const std::string& tree) { return promote(options, tree); });
}

}  // namespace repl::cli
