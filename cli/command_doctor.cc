#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/daemon_request.h"
#include "cli/doctor.h"
#include "cli/exit_codes.h"

namespace repl::cli {
namespace {

void print(const Finding& finding, bool color) {
  static constexpr const char* words[] = {"ok  ", "warn", "FAIL"};
  static constexpr const char* paint[] = {"\x1b[32m", "\x1b[33m", "\x1b[31m"};
  const auto index = static_cast<size_t>(finding.health);
  fmt::print("{}{}{}  {}: {}\n", color ? paint[index] : "", words[index], color ? "\x1b[0m" : "",
             finding.subject, finding.text);
  if (!finding.advice.empty()) fmt::print("      -> {}\n", finding.advice);
}

bool speaks_tls(const Config& config, const std::string& node) {
  return std::ranges::any_of(config.trees, [&](const auto& named) {
    const TreeConfig& tree = named.second;
    return std::ranges::count(tree.nodes, node) != 0 &&
           std::ranges::any_of(tree.nodes, [&](const std::string& other) {
             return other != node && transport_between(tree, node, other) == Transport::tls;
           });
  });
}

// Without a configuration the system is examined all the same: `repl mirror` needs none.
void examine_trees(const GlobalOptions& global, std::vector<Finding>& findings) {
  const Result<Config> config = load_config(global.config_file);
  if (!config) {
    const bool missing = config.error().code == ErrorCode::not_found &&
                         global.config_file == GlobalOptions{}.config_file;
    findings.push_back({missing ? Health::ok : Health::fail, "configuration",
                        missing ? "none (" + global.config_file + ")" : config.error().message,
                        missing ? "" : "correct it; `repl config check` says when it is right"});
    return;
  }
  const Result<std::string> node = find_node(*config, global.node, host_name());
  if (!node) {
    findings.push_back(
        {Health::fail, "configuration", node.error().message, "name this host's node"});
    return;
  }
  findings.push_back({Health::ok, "configuration", config->file + ", node " + *node, ""});
  if (speaks_tls(*config, *node)) {
    findings.push_back(examine_identity(key_file(global), certificate_file(global),
                                        config->nodes.at(*node).fingerprints));
  }
  for (const auto& [name, tree] : config->trees) {
    if (std::find(tree.nodes.begin(), tree.nodes.end(), *node) == tree.nodes.end()) continue;
    std::vector<Finding> more = examine_root("tree " + name, tree.root, tree.guard);
    findings.insert(findings.end(), more.begin(), more.end());
    if (!tree.guard) continue;
    more = examine_guard("tree " + name, tree.root);
    findings.insert(findings.end(), more.begin(), more.end());
  }
}

}  // namespace

int command_doctor(const DoctorOptions& options) {
  std::vector<Finding> findings = examine_system();
  findings.push_back(examine_state_dir(options.global.state_dir));
  examine_trees(options.global, findings);
  if (options.json) {
    fmt::print("{}\n", findings_to_json(findings));
  } else {
    const bool color = ::isatty(STDOUT_FILENO) == 1;
    for (const Finding& finding : findings) print(finding, color);
  }
  return worst(findings) == Health::fail ? exit_failed : exit_ok;
}

}  // namespace repl::cli
