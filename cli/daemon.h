// daemon.h: the composition root of `repl run` and `repl serve`; the only place that knows every
// layer.
#pragma once

#include "cli/options.h"

namespace repl::cli {

// Runs the trees until SIGTERM or SIGINT. Returns an ExitCode.
[[nodiscard]] int run_daemon(const RunOptions& options);
// Serves one connection on stdin and stdout until it closes. Returns an ExitCode.
[[nodiscard]] int serve_stdio(const ServeOptions& options);

}  // namespace repl::cli
