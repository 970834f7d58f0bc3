// What a TreeHost answers to the commands about roles: role, promote, demote, pause, resume.
#include <string>
#include <utility>
#include <vector>

#include "cli/asked.h"
#include "cli/exit_codes.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/status_view.h"
#include "cli/tree_host.h"

namespace repl::cli {

namespace {

Json role_json(const run::TreeFacts& facts) {
  std::string detail;
  for (const std::string& hold : facts.holds) detail += (detail.empty() ? "" : "; ") + hold;
  const bool serves = facts.role == Role::primary && !facts.current;
  const std::string state = serves || facts.handed ? facts.state
                            : facts.diverged       ? "diverged"
                                                   : role_name(facts.role);
  return Json{{"role", facts.handed ? "none" : role_name(facts.role)},
              {"current", facts.current},
              {"state", state},
              {"epoch", facts.position.epoch.value},
              {"primary", facts.primary},
              {"detail", detail}};
}

Json change_json(const run::RoleChange& change, bool would) {
  Json behind = Json::array();
  for (const auto& peer : change.behind) {
    behind.push_back(Json{
        {"name", peer.node}, {"cut", change.position.cut.value}, {"durable", peer.durable.value}});
  }
  return Json{{"epoch", change.position.epoch.value},
              {"was", role_name(change.was)},
              {"already", change.already},
              {"would", would && !change.already},
              {"held", change.held},
              {"held_count", change.held_count},
              {"warnings", change.warnings},
              {"unsent", change.behind.size()},
              {"peers_behind", std::move(behind)},
              {"detail", ""}};
}

}  // namespace

void TreeHost::handle_switchover(const Request& request, const std::shared_ptr<Asked>& asked) {
  const run::SwitchoverCommand command{
      .to = request.text("to"),
      .timeout_ms = static_cast<int64_t>(request.number("timeout_ms", 60'000)),
      .dry_run = request.flag("dry_run"),
      .unguarded = request.flag("unguarded")};
  engine_->request_switchover(
      command,
      [asked](const std::string& step) { asked->reply.progress(print_json(Json{{"step", step}})); },
      [asked, would = command.dry_run](const Result<run::SwitchoverDone>& done) {
        if (!done) {
          const bool refused = done.error().code == ErrorCode::changed;
          return asked->reply.failed(done.error().message, refused ? exit_held : exit_failed);
        }
        asked->reply.done(print_json(Json{{"from", done->from},
                                          {"to", done->to},
                                          {"epoch", done->position.epoch.value},
                                          {"cut", done->position.cut.value},
                                          {"seconds", done->seconds},
                                          {"would", would}}));
      });
}

bool TreeHost::handle_role(const Request& request, const std::shared_ptr<Asked>& asked) {
  const bool would = request.flag("dry_run");
  const auto answer = [asked, would](const Result<run::RoleChange>& change) {
    if (!change) return asked->reply.failed(change.error().message, exit_held);
    asked->reply.done(print_json(change_json(*change, would)));
  };
  if (request.command == "role") {
    engine_->request_facts(
        [asked](const run::TreeFacts& facts) { asked->reply.done(print_json(role_json(facts))); });
  } else if (request.command == "promote") {
    engine_->request_promote({.force = request.flag("force"), .dry_run = would}, answer);
  } else if (request.command == "demote") {
    engine_->request_demote(would, answer);
  } else if (request.command == "switchover") {
    handle_switchover(request, asked);
  } else if (request.command == "pause" || request.command == "resume") {
    const bool paused = request.command == "pause";
    engine_->request_pause(paused, [asked, paused](const Status& done) {
      if (!done) return asked->reply.failed(done.error().message, exit_failed);
      asked->reply.done(print_json(Json{{"paused", paused}}));
    });
  } else {
    return false;
  }
  return true;
}

}  // namespace repl::cli
