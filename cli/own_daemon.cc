#include "cli/own_daemon.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>
#include <utility>

#include "cli/control_client.h"
#include "cli/daemon_request.h"
#include "cli/log_sink.h"
#include "cli/running_tree.h"
#include "cli/runtime_dir.h"
#include "engine/base/limits.h"

namespace repl::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto look_interval = 20ms;

void say(const std::string& tree, const std::string& what) {
  fmt::print(stderr, "repl: tree {}: {}\n", tree, what);
}

// Those of `trees` that are this node's and that nobody runs; nothing where that is not known.
std::optional<RunOptions> to_run(const GlobalOptions& global,
                                 const std::vector<std::string>& trees) {
  Result<Config> config = load_config(global.config_file);
  if (!config) return std::nullopt;
  const Result<std::string> node = find_node(*config, global.node, host_name());
  if (!node) return std::nullopt;
  RunOptions options{.global = global, .config = std::move(*config), .node = *node, .trees = {}};
  for (const std::string& name : trees) {
    const auto at = options.config.trees.find(name);
    if (at == options.config.trees.end() || !at->second.peers.contains(*node)) continue;
    if (daemon_listens(control_socket_path(global.runtime_dir, name))) continue;
    if (!std::ranges::count(options.trees, name)) options.trees.push_back(name);
  }
  if (options.trees.empty()) return std::nullopt;
  return options;
}

}  // namespace

struct OwnDaemon::Running {
  RunOptions options;
  SystemClock clock;
  std::unique_ptr<Log> log;
  MaybeIdentity identity;
  TreeHooks hooks;
  struct Tree {
    std::string name;
    RunningTree running;
  };
  std::vector<Tree> trees;

  explicit Running(RunOptions given)
      : options(std::move(given)),
        log(make_log(options.global.log_level.value_or(LogLevel::warn), clock)) {}

  void start() {
    for (const std::string& name : options.trees) {
      Result<RunningTree> one = start_tree(options, options.config.trees.at(name),
                                           identity ? &*identity : nullptr, hooks, clock, *log);
      if (one && one->opened) {
        say(name, "no daemon runs: this command works directly");
        trees.push_back({.name = name, .running = std::move(*one)});
        continue;
      }
      const Error why = one ? one->opened.error() : one.error();
      if (one) end_tree(*one);
      say(name, "no daemon runs, and directly it cannot be done: " + why.message);
    }
  }

  void settle() {
    const MonotonicTime until =
        clock.now() + std::chrono::milliseconds(limits::own_daemon_contact_ms_max);
    for (const Tree& tree : trees) settle(tree, until);
  }

  // A scan takes what it takes; peers have until `until`.
  void settle(const Tree& tree, MonotonicTime until) const {
    const MonotonicTime began = clock.now();
    for (bool told = false;;) {
      std::vector<std::string> missing;
      if (tree.running.host->settled(missing)) return;
      if (!tree.running.host->last_error().message.empty()) return;  // its commands say why
      if (!missing.empty() && clock.now() >= until)
        return say(tree.name, fmt::format("not heard: {}", fmt::join(missing, ", ")));
      if (!told && !missing.empty() && clock.now() - began > 1s) {
        told = true;
        say(tree.name, fmt::format("waiting for {} to connect", fmt::join(missing, ", ")));
      }
      std::this_thread::sleep_for(look_interval);
    }
  }

  // What a hook reports is taken by the engine in the turn after it was told: of two questions the
  // second is answered behind that.
  void end() {
    for (const auto& [tree, one] : hooks) one->finish();
    for (Tree& tree : trees) {
      static_cast<void>(tree.running.host->facts());
      static_cast<void>(tree.running.host->facts());
    }
    for (Tree& tree : trees) end_tree(tree.running);
  }
};

OwnDaemon::OwnDaemon(const GlobalOptions& global, const std::vector<std::string>& trees) {
  std::optional<RunOptions> options = to_run(global, trees);
  if (!options) return;
  if (Status s = make_runtime_dir(global); !s) {
    report(s.error());
    return;
  }
  running_ = std::make_unique<Running>(std::move(*options));
  Result<MaybeIdentity> identity = identity_for(running_->options);
  if (!identity) {
    report(identity.error());
    return;
  }
  std::signal(SIGPIPE, SIG_IGN);
  running_->identity = std::move(*identity);
  running_->start();
  running_->settle();
}

OwnDaemon::~OwnDaemon() {
  if (running_) running_->end();
}

}  // namespace repl::cli
