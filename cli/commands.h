// commands.h: one function per command, each in a file of its name; all return an ExitCode, print
// results to stdout and what went wrong to stderr.
#pragma once

#include "cli/options.h"

namespace repl::cli {

[[nodiscard]] int command_run(const RunRequest& request);
[[nodiscard]] int command_status(const StatusOptions& options);
[[nodiscard]] int command_verify(const VerifyOptions& options);
[[nodiscard]] int command_wait(const WaitOptions& options);
[[nodiscard]] int command_approve(const ApproveOptions& options);
[[nodiscard]] int command_role(const RoleOptions& options);
[[nodiscard]] int command_promote(const PromoteOptions& options);
[[nodiscard]] int command_demote(const DemoteOptions& options);
[[nodiscard]] int command_switchover(const SwitchoverOptions& options);
[[nodiscard]] int command_catchup(const CatchupOptions& options);
[[nodiscard]] int command_diff(const DiffOptions& options);
[[nodiscard]] int command_pause(const PauseOptions& options);
[[nodiscard]] int command_doctor(const DoctorOptions& options);
[[nodiscard]] int command_config_check(const ConfigCheckOptions& options);
[[nodiscard]] int command_keygen(const KeygenOptions& options);
[[nodiscard]] int command_fingerprint(const FingerprintOptions& options);

}  // namespace repl::cli
