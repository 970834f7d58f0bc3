#include "cli/command_line.h"

#include <fmt/core.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/mirror_session.h"
#include "cli/own_daemon.h"

namespace repl::cli {
namespace {

// The commands that need an engine: with the daemon's, or one of their own for as long as they
// last.
template <typename Options>
int with_daemon(const Options& o, const std::vector<std::string>& trees,
                int (*command)(const Options&)) {
  const OwnDaemon own(o.global, trees);
  return command(o);
}

std::vector<std::string> shared_trees(const std::vector<std::string>& trees,
                                      const GlobalOptions& global, const std::string& peer) {
  return trees_or_shared(trees, global, peer).value_or(std::vector<std::string>());
}

struct Dispatch {
  int operator()(const PrintAndExit& o) const {
    fmt::print(o.exit == exit_ok ? stdout : stderr, "{}", o.text);
    return o.exit;
  }
  int operator()(const MirrorOptions& o) const { return run_mirror(o); }
  int operator()(const RunRequest& o) const { return command_run(o); }
  int operator()(const ServeOptions& o) const { return serve_stdio(o); }
  int operator()(const StatusOptions& o) const { return command_status(o); }
  int operator()(const VerifyOptions& o) const {
    return with_daemon(o, trees_or_all(o.trees, o.global), command_verify);
  }
  int operator()(const WaitOptions& o) const { return with_daemon(o, {o.tree}, command_wait); }
  int operator()(const ApproveOptions& o) const {
    return with_daemon(o, {o.tree}, command_approve);
  }
  int operator()(const RoleOptions& o) const { return command_role(o); }
  int operator()(const PromoteOptions& o) const {
    return with_daemon(o, trees_or_all(o.trees, o.global), command_promote);
  }
  int operator()(const DemoteOptions& o) const {
    return with_daemon(o, trees_or_all(o.trees, o.global), command_demote);
  }
  int operator()(const SwitchoverOptions& o) const {
    return with_daemon(o, shared_trees(o.trees, o.global, o.to), command_switchover);
  }
  int operator()(const CatchupOptions& o) const {
    return with_daemon(o, shared_trees(o.trees, o.global, o.from), command_catchup);
  }
  int operator()(const DiffOptions& o) const { return with_daemon(o, {o.tree}, command_diff); }
  int operator()(const PauseOptions& o) const { return command_pause(o); }
  int operator()(const DivergedOptions& o) const { return command_diverged(o); }
  int operator()(const DoctorOptions& o) const { return command_doctor(o); }
  int operator()(const ConfigCheckOptions& o) const { return command_config_check(o); }
  int operator()(const KeygenOptions& o) const { return command_keygen(o); }
  int operator()(const FingerprintOptions& o) const { return command_fingerprint(o); }
};

}  // namespace

int run(int argc, char** argv) {
  try {
    return std::visit(Dispatch{}, parse_arguments({argv + 1, argv + argc}));
  } catch (const std::exception& error) {
    // Libraries below may throw where memory runs out; whoever called us wants a status, not a
    // core.
    fmt::print(stderr, "repl: {}\n", error.what());
    return exit_failed;
  }
}

}  // namespace repl::cli
