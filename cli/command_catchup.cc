// All plans first, then one question, then one tree after the other. The daemon's progress and
// result for "catchup_plan": {"phase":TEXT}, and what difference_view.h shows with {"plan":ID,
// "state":"in sync|behind|diverged|joining","from":NODE,"position":{...},"warnings":[TEXT...]};
// for "catchup": {"phase","files_done","files_total","bytes_done","bytes_total"}, and a
// certificate (certificate.h).
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/ask_tree.h"
#include "cli/certificate.h"
#include "cli/commands.h"
#include "cli/daemon_request.h"
#include "cli/difference_view.h"
#include "cli/exit_codes.h"
#include "cli/progress.h"
#include "cli/replace_file.h"
#include "cli/status_view.h"

namespace repl::cli {
namespace {

constexpr std::string_view interrupted_text =
    "\nrepl: interrupted. Nothing is lost: the same command, run again, goes on where this one "
    "stopped.\n";

void say_interrupted(int signal) {
  (void)!::write(STDERR_FILENO, interrupted_text.data(), interrupted_text.size());
  ::raise(signal);  // SA_RESETHAND: now it ends us
}

// While it lives, SIGINT and SIGTERM say what an interruption means before they end the process.
class InterruptionAdvice {
 public:
  InterruptionAdvice() {
    struct sigaction action{};
    action.sa_handler = say_interrupted;
    action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_NODEFER;
    ::sigaction(SIGINT, &action, &interrupt_);
    ::sigaction(SIGTERM, &action, &terminate_);
  }
  ~InterruptionAdvice() {
    ::sigaction(SIGINT, &interrupt_, nullptr);
    ::sigaction(SIGTERM, &terminate_, nullptr);
  }
  InterruptionAdvice(const InterruptionAdvice&) = delete;
  InterruptionAdvice& operator=(const InterruptionAdvice&) = delete;

 private:
  struct sigaction interrupt_{};
  struct sigaction terminate_{};
};

// One line of standard input, read without a buffer: "y" or "yes".
bool says_yes() {
  std::string answer;
  for (char c = 0; ::read(STDIN_FILENO, &c, 1) == 1 && c != '\n' && answer.size() < 16;)
    answer += c;
  return answer == "y" || answer == "Y" || answer == "yes";
}

std::string headline(const std::string& tree, const std::string& from, const Json& plan) {
  const std::string state = get_text(plan, "state");
  const char* how = state == "in sync"    ? "in sync with"
                    : state == "diverged" ? "has diverged from"
                    : state == "joining"  ? "joins"
                                          : "is behind";
  const Json& position = get_member(plan, "position");
  return fmt::format("{} {} {} (epoch {}, cut {})\n", tree, how, from,
                     get_number<uint64_t>(position, "epoch"),
                     get_number<uint64_t>(position, "cut"));
}

void print_plan(const std::string& tree, const std::string& from, const Json& plan) {
  fmt::print("{}{}", headline(tree, from, plan), render_differences(plan));
  if (const auto kept = get_number<uint64_t>(get_member(plan, "counts"), "kept")) {
    fmt::print(
        "  {} that only this node has {} kept aside first: `repl diverged list {}` finds {}\n",
        counted(kept, "version", "versions"), kept == 1 ? "is" : "are", tree,
        kept == 1 ? "it" : "them");
  }
  for (const Json& warning : get_member(plan, "warnings")) {
    if (warning.is_string()) fmt::print("  warning: {}\n", warning.get<std::string>());
  }
}

// What happens to one tree, on standard error: each phase, and a line of its progress.
class PhaseProgress {
 public:
  explicit PhaseProgress(const std::string& tree) : steps_(tree) {}

  void show(const Json& progress) {
    const std::string phase = get_text(progress, "phase");
    if (phase != phase_) {
      end();
      phase_ = phase;
      steps_.say(phase == "keeping" ? "keeping aside what only this node has" : phase);
      line_.emplace(progress_on_stderr(clock_));
    }
    last_ = {.files_done = get_number<uint64_t>(progress, "files_done"),
             .files_total = get_number<uint64_t>(progress, "files_total"),
             .bytes_done = get_number<uint64_t>(progress, "bytes_done"),
             .bytes_total = get_number<uint64_t>(progress, "bytes_total")};
    if (line_) line_->update(last_);
  }
  void end() {
    if (line_ && last_.files_total + last_.bytes_total > 0) line_->finish(last_);
    give_up();
  }
  void give_up() {
    if (line_) line_->break_off();
    line_.reset();
  }

 private:
  const SystemClock clock_;
  StepLine steps_;
  std::string phase_;
  TransferProgress last_;
  std::optional<ProgressLine> line_;
};

class CatchUp {
 public:
  explicit CatchUp(const CatchupOptions& options) : options_(options) {}

  int run(const std::vector<std::string>& trees) {
    for (const std::string& tree : trees) make_plan(tree);
    if (options_.dry_run) return exit_;
    if (const int refused = consent(); refused != exit_ok) return refused;
    {
      const InterruptionAdvice advice;
      for (const Planned& planned : plans_) catch_up(planned);
    }
    write_certificate();
    return exit_;
  }

 private:
  struct Planned {
    std::string tree;
    Json plan;
  };

  void failed(const std::string& tree, const AskFailure& failure) {
    exit_ = worse(exit_, report_tree(tree, failure));
    certificates_.push_back(Json{
        {"tree", tree}, {"verified", false}, {"detail", failure.error}, {"exit", failure.exit}});
  }

  void make_plan(const std::string& tree) {
    StepLine steps(tree);
    TreeAnswer plan = ask_tree_with_peer(
        options_.global,
        {.command = "catchup_plan", .tree = tree, .options = {{"from", options_.from}}},
        [&](const Json& progress) {
          if (!options_.json) steps.say(get_text(progress, "phase"));
        });
    if (!plan) return failed(tree, plan.error());
    if (!options_.json) {
      print_plan(tree, options_.from, *plan);
    } else if (options_.dry_run) {
      print_json_line(tree, *plan);
    }
    plans_.push_back({tree, std::move(*plan)});
  }

  // exit_ok: go on. A tree that is in sync is only verified, so nobody need agree.
  [[nodiscard]] int consent() const {
    std::string names;
    for (const Planned& planned : plans_) {
      if (get_text(planned.plan, "state") == "in sync") continue;
      names += (names.empty() ? "" : ", ") + planned.tree;
    }
    if (names.empty() || options_.yes) return exit_ok;
    if (options_.json || ::isatty(STDIN_FILENO) != 1) {
      return report(
          fmt::format("nothing was done: to catch up {} from {} without being asked needs "
                      "--yes; --dry-run only shows the plan",
                      names, options_.from),
          exit_usage);
    }
    std::fflush(stdout);
    fmt::print(stderr, "Catch up {} from {}? [y/N] ", names, options_.from);
    std::fflush(stderr);
    return says_yes() ? exit_ok : report("nothing was done", exit_failed);
  }

  void catch_up(const Planned& planned) {
    PhaseProgress shown(planned.tree);
    const TreeAnswer certificate = ask_tree_with_peer(
        options_.global,
        {.command = "catchup",
         .tree = planned.tree,
         .options = {{"from", options_.from}, {"plan", get_text(planned.plan, "plan")}}},
        [&](const Json& progress) {
          if (!options_.json) shown.show(progress);
        });
    if (!certificate) {
      shown.give_up();
      return failed(planned.tree, certificate.error());
    }
    shown.end();
    if (options_.json) {
      print_json_line(planned.tree, *certificate);
    } else {
      fmt::print("{}", render_certificate(planned.tree, options_.from, *certificate));
      std::fflush(stdout);
    }
    Json& copy = certificates_.emplace_back(*certificate);
    copy["tree"] = planned.tree;
    exit_ = worse(exit_, verdict_of(*certificate));
  }

  void write_certificate() {
    if (options_.certificate.empty()) return;
    const Status written =
        replace_file(options_.certificate, print_json(certificates_) + "\n", 0644);
    if (!written) exit_ = worse(exit_, report(written.error()));
  }

  const CatchupOptions& options_;
  std::vector<Planned> plans_;
  Json certificates_ = Json::array();
  int exit_ = exit_ok;
};

}  // namespace

int command_catchup(const CatchupOptions& options) {
  const Result<std::vector<std::string>> trees =
      trees_or_shared(options.trees, options.global, options.from);
  if (!trees) return report(trees.error().message, exit_usage);
  if (!options.certificate.empty()) {
    if (const Status can = can_replace_file(options.certificate); !can) {
      return report("--certificate: " + can.error().message, exit_usage);
    }
  }
  return CatchUp(options).run(*trees);
}

}  // namespace repl::cli
