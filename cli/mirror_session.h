// mirror_session.h: `repl mirror`: one tree, one peer, no configuration.
#pragma once

#include "cli/options.h"

namespace repl::cli {

// Runs until equal (--once), or until SIGTERM or SIGINT. Returns an ExitCode.
[[nodiscard]] int run_mirror(const MirrorOptions& options);

}  // namespace repl::cli
