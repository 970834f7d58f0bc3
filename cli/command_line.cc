#include "cli/command_line.h"

#include <fmt/core.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/exit_codes.h"
#include "cli/mirror_session.h"

namespace repl::cli {
namespace {

struct Dispatch {
  int operator()(const PrintAndExit& o) const {
    fmt::print(o.exit == exit_ok ? stdout : stderr, "{}", o.text);
    return o.exit;
  }
  int operator()(const MirrorOptions& o) const { return run_mirror(o); }
  int operator()(const RunRequest& o) const { return command_run(o); }
  int operator()(const ServeOptions& o) const { return serve_stdio(o); }
  int operator()(const StatusOptions& o) const { return command_status(o); }
  int operator()(const VerifyOptions& o) const { return command_verify(o); }
  int operator()(const WaitOptions& o) const { return command_wait(o); }
  int operator()(const ApproveOptions& o) const { return command_approve(o); }
  int operator()(const RoleOptions& o) const { return command_role(o); }
  int operator()(const PromoteOptions& o) const { return command_promote(o); }
  int operator()(const DemoteOptions& o) const { return command_demote(o); }
  int operator()(const SwitchoverOptions& o) const { return command_switchover(o); }
  int operator()(const CatchupOptions& o) const { return command_catchup(o); }
  int operator()(const DiffOptions& o) const { return command_diff(o); }
  int operator()(const PauseOptions& o) const { return command_pause(o); }
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
