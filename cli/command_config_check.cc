#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"

namespace repl::cli {

int command_config_check(const ConfigCheckOptions& options) {
  const Result<Config> config = load_config(options.global.config_file);
  if (!config) return report(config.error().message, exit_usage);
  const Result<std::string> node = find_node(*config, options.global.node, host_name());
  if (!node) return report(node.error().message, exit_usage);
  fmt::print("{}: {} nodes, {} trees; this is node \"{}\"\n", config->file, config->nodes.size(),
             config->trees.size(), *node);
  return exit_ok;
}

}  // namespace repl::cli
