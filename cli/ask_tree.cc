#include "cli/ask_tree.h"

#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

#include "cli/control_client.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/stored_answers.h"
#include "engine/base/limits.h"

namespace repl::cli {

namespace {

constexpr auto again_after = std::chrono::milliseconds(100);

}  // namespace

TreeAnswer ask_tree(const GlobalOptions& global, const Request& request,
                    std::optional<Duration> limit,
                    const std::function<void(const Json&)>& on_progress) {
  const auto reply = ask(control_socket_path(global.runtime_dir, request.tree), request, limit,
                         [&](const std::string& text) {
                           const Json progress = parse_json(text);
                           if (on_progress && progress.is_object()) on_progress(progress);
                         });
  if (!reply) {
    if (reply.error().code == ErrorCode::not_found) {
      if (std::optional<TreeAnswer> stored = stored_answer(global, request)) return *stored;
    }
    return std::unexpected(
        AskFailure{.error = reply.error().message, .exit = exit_code_of_asking(reply.error())});
  }
  if (const auto* failed = std::get_if<ReplyFailed>(&*reply)) {
    return std::unexpected(
        AskFailure{.error = failed->error, .exit = failed->exit, .answered = true});
  }
  Json result = parse_json(std::get<ReplyDone>(*reply).json);
  if (!result.is_object()) {
    return std::unexpected(AskFailure{.error = "the daemon's result is not a JSON object"});
  }
  return result;
}

TreeAnswer ask_tree_with_peer(const GlobalOptions& global, const Request& request,
                              const std::function<void(const Json&)>& on_progress) {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(limits::peer_returns_ms_max);
  for (;;) {
    TreeAnswer answer = ask_tree(global, request, std::nullopt, on_progress);
    const bool away = !answer && answer.error().answered && answer.error().exit == exit_peer_away;
    if (!away || std::chrono::steady_clock::now() >= until) return answer;
    std::this_thread::sleep_for(again_after);
  }
}

int report_tree(const std::string& tree, const AskFailure& failure) {
  return report("tree " + tree + ": " + failure.error, failure.exit);
}

void print_json_line(const std::string& tree, Json result) {
  result["tree"] = tree;
  fmt::print("{}\n", print_json(result));
  std::fflush(stdout);  // the next tree may take its time
}

bool StepLine::say(const std::string& step) {
  if (step.empty() || step == last_) return false;
  last_ = step;
  fmt::print(stderr, "{}: {}\n", tree_, step);
  return true;
}

int for_each_tree(const std::vector<std::string>& trees, const GlobalOptions& global,
                  const std::function<int(const std::string& tree)>& one) {
  const std::vector<std::string> all = trees_or_all(trees, global);
  if (all.empty()) return report("there is no tree on this node", exit_not_running);
  int exit = exit_ok;
  for (const std::string& tree : all) exit = worse(exit, one(tree));
  return exit;
}

}  // namespace repl::cli
