#include "cli/daemon.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include "cli/control_client.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/hooks.h"
#include "cli/log_sink.h"
#include "cli/peering.h"
#include "cli/runtime_dir.h"
#include "cli/systemd_notify.h"
#include "cli/tree_host.h"
#include "engine/base/escape.h"

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

// A tree that runs: its engine, its connections, its control socket. Ended in the reverse order.
struct RunningTree {
  std::unique_ptr<TreeHost> host;
  std::unique_ptr<Peering> peering;
  std::unique_ptr<ControlServer> control;
};

// By tree. A reload begins the trees anew, but neither ends what runs for them nor forgets what
// waits.
using TreeHooks = std::map<std::string, std::unique_ptr<Hooks>>;

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
  // A tree that cannot be opened now (its root is not mounted) holds, and the others run.
  if (Status s = running.host->start(); !s) log.error("{}: {}", tree.name, s.error().message);
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

// To start and to end a tree may take a while each; in between the watchdog hears that we live.
Result<std::vector<RunningTree>> start_trees(const RunOptions& options,
                                             const transport::Identity* identity, TreeHooks& hooks,
                                             const Clock& clock, Log& log,
                                             const SystemdNotifier& notifier) {
  std::vector<RunningTree> running;
  for (const std::string& name : options.trees) {
    Result<RunningTree> one =
        start_tree(options, options.config.trees.at(name), identity, hooks, clock, log);
    if (!one)
      return fail(make_error(one.error().code, "tree " + name + ": " + one.error().message));
    running.push_back(std::move(*one));
    static_cast<void>(notifier.notify("WATCHDOG=1"));
  }
  return running;
}

void end_trees(std::vector<RunningTree>& trees, const SystemdNotifier& notifier) {
  for (RunningTree& tree : trees) {
    tree.peering.reset();
    static_cast<void>(notifier.notify("WATCHDOG=1"));
  }
  for (RunningTree& tree : trees) {
    if (tree.host) tree.host->stop();
    tree.control.reset();
    static_cast<void>(notifier.notify("WATCHDOG=1"));
  }
  trees.clear();
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

bool wants_tls(const RunOptions& options) {
  return std::ranges::any_of(options.trees, [&](const std::string& name) {
    const TreeConfig& tree = options.config.trees.at(name);
    return std::ranges::any_of(tree.nodes, [&](const std::string& node) {
      return node != options.node && transport_between(tree, options.node, node) == Transport::tls;
    });
  });
}

// None where every peer is reached over ssh.
using MaybeIdentity = std::optional<transport::Identity>;
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

// The configuration again, for the same node and trees. Nothing changes if it has a fault.
Result<RunOptions> reload(const RunOptions& old) {
  Result<Config> config = load_config(old.global.config_file);
  if (!config) return fail(config.error());
  for (const std::string& name : old.trees) {
    const auto tree = config->trees.find(name);
    if (tree == config->trees.end() || !std::ranges::count(tree->second.nodes, old.node)) {
      return fail(ErrorCode::invalid,
                  "tree " + name + " is no longer configured on this node: stop its service");
    }
  }
  RunOptions options = old;
  options.config = std::move(*config);
  return options;
}

}  // namespace

int run_daemon(const RunOptions& given) {
  const SystemClock clock;
  const std::unique_ptr<Log> log = make_log(given.global.log_level.value_or(LogLevel::info), clock);
  const SystemdNotifier notifier = SystemdNotifier::from_environment();
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  if (Status s = make_runtime_dir(given.global); !s) return report(s.error());

  Result<MaybeIdentity> loaded = identity_for(given);
  if (!loaded) return report(loaded.error().message, exit_usage);
  MaybeIdentity identity = std::move(*loaded);
  RunOptions options = given;
  TreeHooks hooks;
  auto started =
      start_trees(options, identity ? &*identity : nullptr, hooks, clock, *log, notifier);
  if (!started) return report(started.error());
  std::vector<RunningTree> trees = std::move(*started);
  static_cast<void>(notifier.notify("READY=1"));

  const Fd signal_fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  const int timeout_ms =
      notifier.watchdog_interval()
          ? static_cast<int>(
                std::chrono::duration_cast<std::chrono::milliseconds>(*notifier.watchdog_interval())
                    .count())
          : -1;
  int exit = exit_ok;
  for (;;) {
    pollfd poll_fd{.fd = signal_fd.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, timeout_ms);
    if (ready == 0) {
      // Alive means that every engine answers; one that is stuck is restarted by systemd.
      for (const RunningTree& tree : trees) static_cast<void>(tree.host->facts());
      static_cast<void>(notifier.notify("WATCHDOG=1"));
      continue;
    }
    signalfd_siginfo info{};
    if (::read(signal_fd.get(), &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo != SIGHUP) break;
    static_cast<void>(notifier.notify("RELOADING=1"));
    Result<RunOptions> fresh = reload(options);
    Result<MaybeIdentity> key = fresh ? identity_for(*fresh) : fail(fresh.error());
    if (!key) {
      log->error("the configuration is not reloaded: {}", key.error().message);
    } else {
      end_trees(trees, notifier);
      options = std::move(*fresh);
      identity = std::move(*key);
      auto again =
          start_trees(options, identity ? &*identity : nullptr, hooks, clock, *log, notifier);
      if (!again) {
        exit = report(again.error());
        break;
      }
      trees = std::move(*again);
      log->info("the configuration is reloaded");
    }
    static_cast<void>(notifier.notify("READY=1"));
  }
  static_cast<void>(notifier.notify("STOPPING=1"));
  end_trees(trees, notifier);
  return exit;
}

}  // namespace repl::cli
