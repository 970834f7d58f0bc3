#include "cli/daemon_request.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <set>

#include "cli/exit_codes.h"

namespace repl::cli {
namespace {

bool carries(const TreeConfig& tree, const std::string& node) {
  return std::find(tree.nodes.begin(), tree.nodes.end(), node) != tree.nodes.end();
}

}  // namespace

int exit_code_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::not_permitted:
      return exit_refused;
    case ErrorCode::timeout:
      return exit_timeout;
    default:
      return exit_failed;
  }
}

int exit_code_of_asking(const Error& error) {
  return error.code == ErrorCode::not_found ? exit_not_running : exit_code_of(error);
}

int report_asking(const Error& error) { return report(error.message, exit_code_of_asking(error)); }
int report(const Error& error) { return report(error.message, exit_code_of(error)); }

int report(const std::string& message, int exit) {
  fmt::print(stderr, "repl: {}\n", message);
  return exit;
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data())
                                                          : std::string();
}

std::vector<std::string> known_trees(const GlobalOptions& global) {
  std::set<std::string> trees;
  if (const Result<Config> config = load_config(global.config_file)) {
    const Result<std::string> node = find_node(*config, global.node, host_name());
    for (const auto& [name, tree] : config->trees) {
      if (node && carries(tree, *node)) trees.insert(name);
    }
  }
  std::error_code ignored;
  for (const auto& item : std::filesystem::directory_iterator(global.runtime_dir, ignored)) {
    if (item.path().extension() == ".sock") trees.insert(item.path().stem());
  }
  return {trees.begin(), trees.end()};
}

Result<std::vector<std::string>> trees_or_shared(const std::vector<std::string>& trees,
                                                 const GlobalOptions& global,
                                                 const std::string& peer) {
  if (!trees.empty()) return trees;
  const Result<Config> config = load_config(global.config_file);
  if (!config) return fail(ErrorCode::invalid, config.error().message + "; or name the trees");
  const Result<std::string> node = find_node(*config, global.node, host_name());
  if (!node) return fail(node.error());
  if (const Result<std::string> known = find_node(*config, peer, {}); !known) {
    return fail(known.error());
  }
  std::vector<std::string> shared;
  for (const auto& [name, tree] : config->trees) {
    if (*node != peer && carries(tree, *node) && carries(tree, peer)) shared.push_back(name);
  }
  if (shared.empty()) {
    return fail(ErrorCode::invalid, *node == peer ? peer + " is this node; name another"
                                                  : "no tree of this node is on " + peer + ", too");
  }
  return shared;
}

}  // namespace repl::cli
