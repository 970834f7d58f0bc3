// The daemon's result: {"was":ROLE,"would":bool,"unsent":n,"peers_behind":[{"name","cut",
// "durable"}],"detail"}.
#include <fmt/core.h>

#include "cli/ask_tree.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/status_view.h"

namespace repl::cli {
namespace {

void print_demotion(const std::string& tree, const Json& result) {
  const std::string was = get_text(result, "was");
  if (was != "primary") {
    fmt::print("{}: is not the primary ({}); nothing to give up\n", tree, was);
  } else {
    fmt::print("{}: {}\n", tree,
               get_bool(result, "would") ? "would no longer be the primary; nothing was done"
                                         : "no longer the primary");
  }
  const Json& behind = get_member(result, "peers_behind");
  const auto unsent = get_number<uint64_t>(result, "unsent");
  if (unsent > 0) {
    fmt::print("  {} not reached every peer\n",
               counted(unsent, "change made here has", "changes made here have"));
  } else if (behind.empty() && was == "primary") {
    fmt::print("  everything that was written here has reached the peers\n");
  }
  for (const Json& peer : behind) {
    if (!peer.is_object()) continue;
    fmt::print("  {} is behind: cut {} there, {} durable\n", get_text(peer, "name"),
               get_number<uint64_t>(peer, "cut"), get_number<uint64_t>(peer, "durable"));
  }
  if (const std::string detail = get_text(result, "detail"); !detail.empty()) {
    fmt::print("  {}\n", detail);
  }
}

int demote(const DemoteOptions& options, const std::string& tree) {
  const TreeAnswer result =
      ask_tree(options.global, {.command = "demote",
                                .tree = tree,
                                .options = {{"dry_run", options.dry_run ? "true" : "false"}}});
  if (!result) return report_tree(tree, result.error());
  if (options.json) {
    print_json_line(tree, *result);
  } else {
    print_demotion(tree, *result);
  }
  return exit_ok;
}

}  // namespace

int command_demote(const DemoteOptions& options) {
  return for_each_tree(options.trees, options.global,
                       [&](const std::string& tree) { return demote(options, tree); });
}

}  // namespace repl::cli
