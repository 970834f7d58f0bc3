// ask_tree.h: one question to the daemon of a tree, its answer as JSON, and the same for several
// trees one after the other.
//
// Thread: blocks the caller.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/control_protocol.h"
#include "cli/json.h"
#include "cli/options.h"
#include "engine/base/clock.h"

namespace repl::cli {

struct AskFailure {
  std::string error;  // a sentence for a person
  int exit = 1;       // ExitCode
  // The daemon said so. Otherwise nobody knows how far it got with what it was asked for.
  bool answered = false;
};
using TreeAnswer = std::expected<Json, AskFailure>;  // a JSON object

// Asks the daemon of request.tree, or, where none runs, what is stored (stored_answers.h). `limit`
// and `on_progress` as in ask(); what is no JSON object is not passed on.
[[nodiscard]] TreeAnswer ask_tree(const GlobalOptions& global, const Request& request,
                                  std::optional<Duration> limit = std::nullopt,
                                  const std::function<void(const Json&)>& on_progress = {});

// The same of what needs a peer: where that is not connected it is asked again, for
// limits::peer_returns_ms_max since it was first asked.
[[nodiscard]] TreeAnswer ask_tree_with_peer(const GlobalOptions& global, const Request& request,
                                            const std::function<void(const Json&)>& on_progress);

// "repl: tree idm: ..." to standard error; returns the exit status.
int report_tree(const std::string& tree, const AskFailure& failure);
// One line on standard output: the object with "tree" in it.
void print_json_line(const std::string& tree, Json result);

// Says on standard error what a daemon is doing ("idm: transferring"), each step once.
class StepLine {
 public:
  explicit StepLine(std::string tree) : tree_(std::move(tree)) {}
  // True if it is another step than the last.
  bool say(const std::string& step);

 private:
  std::string tree_;
  std::string last_;
};

// Each of `trees`, or all of this node; the worst of their statuses. One that fails does not stop
// the others.
[[nodiscard]] int for_each_tree(const std::vector<std::string>& trees, const GlobalOptions& global,
                                const std::function<int(const std::string& tree)>& one);

}  // namespace repl::cli
