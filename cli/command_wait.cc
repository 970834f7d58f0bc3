#include <chrono>
#include <cmath>

#include "cli/commands.h"
#include "cli/control_client.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"

namespace repl::cli {

int command_wait(const WaitOptions& options) {
  Request request{.command = "wait",
                  .tree = options.tree,
                  .options = {{"for", options.level},
                              {"wait_for_peers", options.wait_for_peers ? "true" : "false"}}};
  std::optional<Duration> limit;
  if (options.timeout_seconds) {
    const auto ms = static_cast<int64_t>(std::ceil(*options.timeout_seconds * 1000));
    request.options["timeout_ms"] = std::to_string(ms);
    // The daemon knows what is missing and says so; this one is for a daemon that does not answer.
    limit = std::chrono::milliseconds(ms) + std::chrono::seconds(2);
  }
  const auto reply =
      ask(control_socket_path(options.global.runtime_dir, options.tree), request, limit);
  if (!reply) return report_asking(reply.error());
  if (const auto* failed = std::get_if<ReplyFailed>(&*reply))
    return report(failed->error, failed->exit);
  return exit_ok;
}

}  // namespace repl::cli
