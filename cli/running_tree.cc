#include "cli/running_tree.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "cli/control_client.h"

namespace repl::cli {

namespace {

std::optional<watch::Mode> watch_mode(WatchChoice choice) {
  switch (choice) {
    case WatchChoice::automatic:
      return std::nullopt;
    case WatchChoice::fanotify_filesystem:
      return watch::Mode::fanotify_filesystem;
    case WatchChoice::fanotify_directories:
      return watch::Mode::fanotify_directories;
    case WatchChoice::inotify:
      return watch::Mode::inotify;
  }
  return std::nullopt;
}

Result<run::TreeOptions> tree_options(const RunOptions& options, const TreeConfig& tree) {
  run::TreeOptions out;
  out.name = tree.name;
  out.node = options.node;
  out.nodes = tree.nodes;
  out.root = tree.root;
  out.staging = tree.staging;
  out.state_dir = std::filesystem::absolute(options.global.state_dir).string() + "/" + tree.name;
  Result<Policy> policy = policy_of(tree);
  if (!policy) return fail(policy.error());
  out.policy = std::move(*policy);
  out.strict_order = tree.strict_order;
  out.repair_drift = tree.repair_drift;
  out.guard = tree.guard;
  out.deletes = tree.deletes;
  out.watch_mode = watch_mode(tree.watch);
  out.serve_alone = tree.serve_alone;
  out.alone_after = tree.alone_after;
  out.scrub_every = std::chrono::hours(24) * tree.scrub_days;
  out.scrub_bytes_per_second = tree.scrub_bytes_per_second;
  return out;
}

PeerRoutes routes_of(const RunOptions& options, const TreeConfig& tree) {
  PeerRoutes routes;
  for (const auto& [node, peer] : tree.peers) {
    const bool ssh = transport_between(tree, options.node, node) == Transport::ssh;
    routes[node] = {.transport = ssh ? "ssh" : "tls",
                    .bandwidth_limit = peer.bandwidth_bytes_per_second};
  }
  return routes;
}

Result<Hooks*> hooks_of(const RunOptions& options, const TreeConfig& tree, TreeHooks& all,
                        const Clock& clock, Log& log) {
  for (const std::string& fault : hook_faults(tree)) log.warn("{}: {}", tree.name, fault);
  std::unique_ptr<Hooks>& hooks = all[tree.name];
  if (!hooks) hooks = std::make_unique<Hooks>(clock, log);
  if (Status s = hooks->configure({.tree = tree.name, .node = options.node, .root = tree.root},
                                  tree.hooks);
      !s) {
    return fail(s.error());
  }
  return hooks.get();
}

bool wants_tls(const RunOptions& options) {
  return std::ranges::any_of(options.trees, [&](const std::string& name) {
    const TreeConfig& tree = options.config.trees.at(name);
    return std::ranges::any_of(tree.nodes, [&](const std::string& node) {
      return node != options.node && transport_between(tree, options.node, node) == Transport::tls;
    });
  });
}

}  // namespace

Result<RunningTree> start_tree(const RunOptions& options, const TreeConfig& tree,
                               const transport::Identity* identity, TreeHooks& tree_hooks,
                               const Clock& clock, Log& log) {
  Result<run::TreeOptions> engine = tree_options(options, tree);
  if (!engine) return fail(engine.error());
  const Result<Hooks*> hooks = hooks_of(options, tree, tree_hooks, clock, log);
  if (!hooks) return fail(hooks.error());
  RunningTree running;
  running.host =
      std::make_unique<TreeHost>(std::move(*engine), clock, log, routes_of(options, tree),
                                 tree.hooks.programs.empty() ? nullptr : *hooks);
  running.opened = running.host->start();
  auto control = ControlServer::start(
      {.socket_path = control_socket_path(options.global.runtime_dir, tree.name)},
      [host = running.host.get()](const Request& request, const Reply& reply) {
        host->handle(request, reply);
      },
      log);
  if (!control) return fail(control.error());
  running.control = std::move(*control);
  auto peering = Peering::start(options, tree, identity, *running.host, clock, log);
  if (!peering) return fail(peering.error());
  running.peering = std::move(*peering);
  return running;
}

void end_tree(RunningTree& tree) {
  tree.peering.reset();
  if (tree.host) tree.host->stop();
  tree.control.reset();
}

Result<MaybeIdentity> identity_for(const RunOptions& options) {
  if (!wants_tls(options)) return MaybeIdentity();
  auto loaded =
      transport::load_identity(key_file(options.global), certificate_file(options.global));
  if (loaded) return MaybeIdentity(std::move(*loaded));
  Error error = std::move(loaded.error());
  if (error.code == ErrorCode::not_found) {
    error.message += "; `repl keygen` makes a key for this node";
  }
  return fail(std::move(error));
}

}  // namespace repl::cli
