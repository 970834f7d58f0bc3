// The daemon's result: {"released":n,"kept":"DIRECTORY"}.
#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/control_client.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/json.h"

namespace repl::cli {

int command_approve(const ApproveOptions& options) {
  const auto reply = ask(control_socket_path(options.global.runtime_dir, options.tree),
                         {.command = "approve", .tree = options.tree, .options = {}}, std::nullopt);
  if (!reply) return report_asking(reply.error());
  if (const auto* failed = std::get_if<ReplyFailed>(&*reply))
    return report(failed->error, failed->exit);
  const Json result = parse_json(std::get<ReplyDone>(*reply).json);
  if (!result.is_object()) return report("the daemon's result is not a JSON object", exit_failed);
  fmt::print("{}: {} released", options.tree, get_number<uint64_t>(result, "released"));
  if (const std::string kept = get_text(result, "kept"); !kept.empty()) {
    fmt::print("; local versions are kept in {}", kept);
  }
  fmt::print("\n");
  return exit_ok;
}

}  // namespace repl::cli
