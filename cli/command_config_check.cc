#include <fmt/core.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/hooks.h"
#include "engine/io/guard_mount.h"

namespace repl::cli {

int command_config_check(const ConfigCheckOptions& options) {
  const Result<Config> config = load_config(options.global.config_file);
  if (!config) return report(config.error().message, exit_usage);
  const Result<std::string> node = find_node(*config, options.global.node, host_name());
  if (!node) return report(node.error().message, exit_usage);
  for (const auto& [name, tree] : config->trees) {
    if (!std::ranges::count(tree.nodes, *node)) continue;
    if (const std::string why = tree.guard ? io::guard_refusal() : ""; !why.empty())
      return report(fmt::format("[tree.{}] guard = true: {}", name, why), exit_usage);
    for (const std::string& fault : hook_faults(tree))
      fmt::print(stderr, "repl: warning: [tree.{}] {}\n", name, fault);
  }
  fmt::print("{}: {} nodes, {} trees; this is node \"{}\"\n", config->file, config->nodes.size(),
             config->trees.size(), *node);
  return exit_ok;
}

}  // namespace repl::cli
