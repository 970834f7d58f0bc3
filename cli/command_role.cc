// The daemon's result: {"role":"primary|secondary|none","current":bool,"state","epoch","primary",
// "detail"}, of what is stored "cut" and "running":false, too. Cluster managers branch on the
// status, so whatever is not certain is exit_neither.
#include <fmt/core.h>

#include <chrono>

#include "cli/ask_tree.h"
#include "cli/commands.h"
#include "engine/base/limits.h"

namespace repl::cli {
namespace {

// Of this command alone; repl(1) lists them.
enum RoleExit : int { exit_primary = 0, exit_secondary = 1, exit_neither = 2 };

int exit_of(const Json& result) {
  const std::string role = get_text(result, "role");
  const bool current = get_bool(result, "current");
  if (result.contains("running") && !get_bool(result, "running")) return exit_neither;
  if (role == "primary" && current) return exit_primary;
  return role == "secondary" ? exit_secondary : exit_neither;
}

void print_role(const std::string& tree, const Json& result) {
  const std::string role = get_text(result, "role"), state = get_text(result, "state");
  const int exit = exit_of(result);
  fmt::print("{}: {}", tree,
             role == "none" || role.empty() ? "neither primary nor secondary" : role);
  if (role == "primary" && exit != exit_primary) fmt::print(", but not known to be current");
  if (exit != exit_primary && !state.empty() && state != role) fmt::print(", {}", state);
  fmt::print(", epoch {}", get_number<uint64_t>(result, "epoch"));
  if (const std::string primary = get_text(result, "primary");
      role != "primary" && !primary.empty()) {
    fmt::print(", the primary is {}", primary);
  }
  const std::string detail = get_text(result, "detail");
  fmt::print("{}{}\n", detail.empty() ? "" : ": ", detail);
}

}  // namespace

int command_role(const RoleOptions& options) {
  const TreeAnswer result =
      ask_tree(options.global, {.command = "role", .tree = options.tree, .options = {}},
               std::chrono::milliseconds(limits::control_answer_ms_max));
  if (!result) {
    report_tree(options.tree, result.error());
    return exit_neither;
  }
  if (options.json) {
    print_json_line(options.tree, *result);
  } else {
    print_role(options.tree, *result);
  }
  return exit_of(*result);
}

}  // namespace repl::cli
