#include "cli/daemon.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <utility>

#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/log_sink.h"
#include "cli/running_tree.h"
#include "cli/runtime_dir.h"
#include "cli/systemd_notify.h"

namespace repl::cli {

namespace {

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
    // A tree that cannot be opened now (its root is not mounted) holds, and the others run.
    if (const Status& opened = one->opened; !opened)
      log.error("{}: {}", name, opened.error().message);
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
    end_tree(tree);
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
