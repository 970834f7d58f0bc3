// What a TreeHost answers to diff, catchup_plan and catchup.
#include <memory>
#include <string>
#include <utility>

#include "cli/asked.h"
#include "cli/exit_codes.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/tree_host.h"
#include "engine/base/escape.h"

namespace repl::cli {

namespace {

// Of an item as a catch-up would settle it, and as `diff` tells it: what the peer has counts.
const char* change_name(send::DiffChange change) {
  switch (change) {
    case send::DiffChange::only_peer:
      return "new";
    case send::DiffChange::only_here:
      return "deleted";
    case send::DiffChange::content:
    case send::DiffChange::type:
      return "changed";
    case send::DiffChange::attributes:
      return "attributes";
    case send::DiffChange::moved:
      return "moved";
  }
  return "changed";
}

const char* state_name(run::CatchUpPlan::State state, bool differs) {
  switch (state) {
    case run::CatchUpPlan::State::following:
      return differs ? "behind" : "in sync";
    case run::CatchUpPlan::State::diverged:
      return "diverged";
    case run::CatchUpPlan::State::joining:
      return "joining";
  }
  return "behind";
}

Json position_json(const Position& position) {
  return Json{{"epoch", position.epoch.value},
              {"reign", to_hex(position.reign)},
              {"cut", position.cut.value}};
}

Json counts_json(const send::DiffCounts& counts, uint64_t kept) {
  using send::DiffChange;
  return Json{{"new", counts.of(DiffChange::only_peer).items},
              {"changed", counts.of(DiffChange::content).items + counts.of(DiffChange::type).items},
              {"attributes", counts.of(DiffChange::attributes).items},
              {"deleted", counts.of(DiffChange::only_here).items},
              {"moved", counts.of(DiffChange::moved).items},
              {"unknown", counts.unknown},
              {"kept", kept}};
}

Json item_json(const send::DiffItem& item, bool kept) {
  Json out{{"change", change_name(item.change)},
           {"path", item.path.empty() ? "." : escape(item.path)},
           {"type", type_name(item.type)},
           {"bytes", item.bytes},
           {"kept", kept}};
  if (!item.peer_path.empty()) out["from"] = escape(item.peer_path);
  return out;
}

Json plan_json(const run::CatchUpPlan& plan) {
  Json items = Json::array();
  uint64_t kept = 0;
  for (size_t i = 0; i < plan.diff.items.size(); ++i) {
    items.push_back(item_json(plan.diff.items[i], plan.kept[i]));
    kept += plan.kept[i] ? 1 : 0;
  }
  return Json{{"plan", std::to_string(plan.id)},
              {"state", state_name(plan.state, !plan.diff.counts.equal())},
              {"from", plan.from},
              {"position", position_json(plan.here)},
              {"peer_position", position_json(plan.there)},
              {"items", std::move(items)},
              {"counts", counts_json(plan.diff.counts, kept)},
              {"bytes", plan.bytes},
              {"truncated", plan.diff.counts.truncated},
              {"warnings", plan.warnings}};
}

Json diff_json(const run::DiffResult& diff) {
  Json items = Json::array();
  uint64_t bytes = 0;
  for (const send::DiffItem& item : diff.items) items.push_back(item_json(item, false));
  for (const send::DiffTally& tally : diff.counts.by_change) bytes += tally.bytes;
  return Json{{"peer", diff.peer},
              {"items", std::move(items)},
              {"counts", counts_json(diff.counts, 0)},
              {"bytes", bytes},
              {"truncated", diff.counts.truncated}};
}

Json certificate_json(const run::Certificate& made, int64_t now) {
  return Json{{"verified", made.verified},
              {"position", position_json(made.position)},
              {"peer_position", position_json(made.peer_position)},
              {"fingerprint", to_hex(made.content)},
              {"peer_fingerprint", to_hex(made.peer_content)},
              {"entries", made.entries},
              {"bytes_read", made.bytes_read},
              {"written_reread", made.files_read},
              {"kept", made.kept},
              {"kept_in", escape(made.kept_in)},
              {"held", made.held},
              {"seconds", made.seconds},
              {"at", now},
              {"detail", made.detail}};
}

int exit_of(const Error& error) {
  return error.code == ErrorCode::closed    ? exit_peer_away
         : error.code == ErrorCode::changed ? exit_held
                                            : exit_failed;
}

}  // namespace

bool TreeHost::handle_catch_up(const Request& request, const std::shared_ptr<Asked>& asked) {
  if (request.command == "diff") {
    engine_->request_diff(request.text("peer"), [asked](const Result<run::DiffResult>& diff) {
      if (!diff) return asked->reply.failed(diff.error().message, exit_of(diff.error()));
      asked->reply.done(print_json(diff_json(*diff)));
    });
  } else if (request.command == "catchup_plan") {
    engine_->request_catch_up_plan(
        request.text("from"), [asked](const Result<run::CatchUpPlan>& plan) {
          if (!plan) return asked->reply.failed(plan.error().message, exit_of(plan.error()));
          asked->reply.done(print_json(plan_json(*plan)));
        });
  } else if (request.command == "catchup") {
    run::CatchUpRequest wanted;
    wanted.from = request.text("from");
    wanted.plan = request.number("plan", 0);
    wanted.progress = [asked](const run::CatchUpProgress& at) {
      asked->reply.progress(print_json(Json{{"phase", at.phase},
                                            {"files_done", at.files_done},
                                            {"files_total", at.files_total},
                                            {"bytes_done", at.bytes_done},
                                            {"bytes_total", at.bytes_total}}));
    };
    wanted.answer = [this, asked](const Result<run::Certificate>& made) {
      if (!made) return asked->reply.failed(made.error().message, exit_of(made.error()));
      asked->reply.done(print_json(certificate_json(*made, clock_.wall_ns() / 1'000'000'000)));
    };
    engine_->request_catch_up(std::move(wanted));
  } else {
    return false;
  }
  return true;
}

}  // namespace repl::cli
