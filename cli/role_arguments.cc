#include "cli/role_arguments.h"

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/help_text.h"

namespace repl::cli {
namespace {

constexpr const char* json_help = "The result as one JSON object per tree and line";

void add_trees(CLI::App& app, std::vector<std::string>& trees, const char* help) {
  app.add_option("TREE", trees, help);
}

void add_moves(CLI::App& top, RoleDraft& draft) {
  CLI::App& promote = *top.add_subcommand(
      "promote", "Make this node the primary: the other one is lost, or demoted");
  add_trees(promote, draft.promote.trees, "Only these (default: all of this node)");
  promote.add_flag("--force", draft.promote.force,
                   "Although it is refused without; the refusal says what that risks");
  promote.add_flag("--dry-run", draft.promote.dry_run, "Say what would be; change nothing");
  promote.add_flag("--json", draft.promote.json, json_help);
  promote.footer(help::promote);

  CLI::App& demote = *top.add_subcommand("demote", "Stop being the primary, without a successor");
  add_trees(demote, draft.demote.trees, "Only these (default: all of this node)");
  demote.add_flag("--dry-run", draft.demote.dry_run, "Say what would be; change nothing");
  demote.add_flag("--json", draft.demote.json, json_help);
  demote.footer(help::demote);

  SwitchoverOptions& s = draft.switchover;
  CLI::App& switchover =
      *top.add_subcommand("switchover", "Hand over to another node, with nothing lost");
  add_trees(switchover, s.trees, "Only these (default: all that NODE has, too)");
  switchover.add_option("--to", s.to, "The next primary")->required()->type_name("NODE");
  switchover.add_option("--timeout", s.timeout_seconds, "Roll back after so many seconds")
      ->check(CLI::Range(0.1, 86'400.0))
      ->capture_default_str();
  switchover.add_flag("--unguarded", s.unguarded,
                      "Although processes may write that the guard does not reach");
  switchover.add_flag("--dry-run", s.dry_run, "Say whether it would work; change nothing");
  switchover.add_flag("--json", s.json, json_help);
  switchover.footer(help::switchover);
}

void add_catchup(CLI::App& top, CatchupOptions& o) {
  CLI::App& app = *top.add_subcommand(
      "catchup", "Bring this node to what another has, and prove it; own versions are kept aside");
  add_trees(app, o.trees, "Only these (default: all that NODE has, too)");
  app.add_option("--from", o.from, "The node that has the right version")
      ->required()
      ->type_name("NODE");
  CLI::Option* dry_run =
      app.add_flag("--dry-run", o.dry_run, "Show what would change; change nothing");
  app.add_flag("-y,--yes", o.yes, "Do not ask")->excludes(dry_run);
  app.add_option("--certificate", o.certificate, "Write the proof to FILE, as JSON")
      ->type_name("FILE")
      ->excludes(dry_run);
  app.add_flag("--json", o.json,
               "The certificate (with --dry-run: the plan) as one JSON object per tree and line");
  app.footer(help::catchup);
}

void add_pause(CLI::App& top, PauseOptions& pause, PauseOptions& resume) {
  resume.resume = true;
  CLI::App& stop =
      *top.add_subcommand("pause", "Let replication stand still; changes are remembered");
  add_trees(stop, pause.trees, "Only these (default: all of this node)");
  stop.add_flag("--json", pause.json, json_help);
  stop.footer(help::pause);
  CLI::App& go = *top.add_subcommand("resume", "Let replication go on after `repl pause`");
  add_trees(go, resume.trees, "Only these (default: all of this node)");
  go.add_flag("--json", resume.json, json_help);
  go.footer(help::pause);
}

}  // namespace

void add_role_commands(CLI::App& top, RoleDraft& draft) {
  CLI::App& role = *top.add_subcommand("role", "What this node is; for cluster managers");
  role.add_option("TREE", draft.role.tree, "A tree of the configuration")->required();
  role.add_flag("--json", draft.role.json, "One JSON object");
  role.footer(help::role);
  add_moves(top, draft);
  add_catchup(top, draft.catchup);
  CLI::App& diff = *top.add_subcommand("diff", "How this node's tree differs from a peer's");
  diff.add_option("TREE", draft.diff.tree, "A tree of the configuration")->required();
  diff.add_option("--peer", draft.diff.peer,
                  "Compare with this node (default: the primary; on it, the first peer)")
      ->type_name("NODE");
  diff.add_flag("--json", draft.diff.json, "One JSON object");
  diff.footer(help::diff);
  add_pause(top, draft.pause, draft.resume);
}

std::optional<Command> chosen_role_command(const CLI::App& top, const RoleDraft& draft,
                                           const GlobalOptions& global) {
  const auto with_globals = [&](auto options) -> Command {
    options.global = global;
    return options;
  };
  if (top.got_subcommand("role")) return with_globals(draft.role);
  if (top.got_subcommand("promote")) return with_globals(draft.promote);
  if (top.got_subcommand("demote")) return with_globals(draft.demote);
  if (top.got_subcommand("switchover")) return with_globals(draft.switchover);
  if (top.got_subcommand("catchup")) return with_globals(draft.catchup);
  if (top.got_subcommand("diff")) return with_globals(draft.diff);
  if (top.got_subcommand("pause")) return with_globals(draft.pause);
  if (top.got_subcommand("resume")) return with_globals(draft.resume);
  return std::nullopt;
}

}  // namespace repl::cli
