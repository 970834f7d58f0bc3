#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <thread>

#include "cli/ask_tree.h"
#include "cli/commands.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/status_view.h"
#include "engine/base/limits.h"

namespace repl::cli {
namespace {

using namespace std::chrono_literals;

int show(const StatusOptions& options, const std::string& tree, std::string& out) {
  const TreeAnswer answer =
      ask_tree(options.global, {.command = "status", .tree = tree, .options = {}},
               std::chrono::milliseconds(limits::control_answer_ms_max));
  if (!answer) return report_tree(tree, answer.error());
  const Result<TreeStatus> status = status_from_json(print_json(*answer));
  if (!status) return report(status.error());
  if (options.json) {
    out += print_json(*answer) + "\n";
  } else {
    out += render(*status,
                  {.color = ::isatty(STDOUT_FILENO) == 1, .now_unix_seconds = std::time(nullptr)});
  }
  const bool held = !status->holds.empty() || status->held_keys_total > 0 ||
                    std::any_of(status->peers.begin(), status->peers.end(),
                                [](const PeerStatus& peer) { return !peer.hold.empty(); });
  if (answer->contains("running") && !get_bool(*answer, "running")) return exit_not_running;
  return held ? exit_held : exit_ok;
}

int show_all(const StatusOptions& options, std::string& out) {
  const std::vector<std::string> trees = trees_or_all(options.trees, options.global);
  if (trees.empty()) {
    return report("no daemon runs here and the configuration " + options.global.config_file +
                      " has no tree of this node",
                  exit_not_running);
  }
  int exit = exit_ok;
  for (const std::string& tree : trees) {
    if (!out.empty() && !options.json) out += "\n";
    exit = worse(exit, show(options, tree, out));
  }
  return exit;
}

}  // namespace

int command_status(const StatusOptions& options) {
  const bool redraw = options.watch && !options.json && ::isatty(STDOUT_FILENO) == 1;
  while (true) {
    std::string out;
    const int exit = show_all(options, out);
    fmt::print("{}{}", redraw ? "\x1b[H\x1b[2J" : "", out);
    if (std::fflush(stdout) != 0) return exit_failed;  // the reader has gone
    if (!options.watch) return exit;
    std::this_thread::sleep_for(1s);
  }
}

}  // namespace repl::cli
