#include <algorithm>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"

namespace repl::cli {

int command_run(const RunRequest& request) {
  Result<Config> config = load_config(request.global.config_file);
  if (!config) return report(config.error().message, exit_usage);
  const Result<std::string> node = find_node(*config, request.global.node, host_name());
  if (!node) return report(node.error().message, exit_usage);
  RunOptions options{.global = request.global, .node = *node};
  for (const std::string& name : request.trees) {
    const Result<TreeConfig> tree = find_tree(*config, name);
    if (!tree) return report(tree.error().message, exit_usage);
    if (std::find(tree->nodes.begin(), tree->nodes.end(), *node) == tree->nodes.end()) {
      return report("node \"" + *node + "\" is not in nodes of [tree." + name +
                        "]; add it, or say with --node which node this is",
                    exit_usage);
    }
    if (std::find(options.trees.begin(), options.trees.end(), name) == options.trees.end()) {
      options.trees.push_back(name);
    }
  }
  options.config = std::move(*config);
  return run_daemon(options);
}

}  // namespace repl::cli
