// tree_differences.cc: what differs from a peer, what catching up would do, and doing it.
#include <algorithm>
#include <utility>

#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/run/primary.h"
#include "engine/run/secondary.h"
#include "engine/run/tree_engine.h"

namespace repl::run {

Result<Session*> TreeEngine::session_with(const std::string& node) const {
  std::string wanted = node;
  if (wanted.empty()) wanted = secondary_ ? known_primary() : std::string();
  for (const auto& session : sessions_) {
    if (!session->link || !session->hello) continue;
    if (!wanted.empty() && session->peer != wanted) continue;
    if ((session->hello->features & feature_roles) == 0) {
      return fail(ErrorCode::unsupported,
                  "node " + session->peer + " runs an older repl: upgrade it first");
    }
    return session.get();
  }
  return fail(ErrorCode::closed, wanted.empty() ? "no peer is connected"
                                                : "node " + escape(wanted) + " is not connected");
}

void TreeEngine::request_diff(std::string peer, std::function<void(Result<DiffResult>)> answer) {
  post([this, peer = std::move(peer), answer = std::move(answer)]() mutable {
    begin_diff(peer, std::move(answer));
  });
}

// One after the other, and not before the digests here are known: what is only not read yet would
// count as different.
void TreeEngine::begin_diff(const std::string& peer,
                            std::function<void(Result<DiffResult>)> answer) {
  if (diffs_wanted_.size() >= limits::diffs_waiting_max)
    return answer(fail(ErrorCode::limit, "others are being compared: ask again"));
  diffs_wanted_.push_back({.peer = peer, .answer = std::move(answer)});
}

void TreeEngine::step_diffs() {
  listings_.pump();
  differ_.step();
  if (diffs_wanted_.empty() || differ_.busy() || duty_->read_contents()) return;
  DiffWanted next = std::move(diffs_wanted_.front());
  diffs_wanted_.pop_front();
  const Result<Session*> session = session_with(next.peer);
  if (!session) return next.answer(fail(session.error()));
  differ_.begin(**session, std::move(next.answer));
}

// --- catching up
// ---------------------------------------------------------------------------------------------

Result<Session*> TreeEngine::session_to_catch_up(const std::string& from) const {
  const std::string& tree = parts_->options.name;
  const auto refuse = [](std::string why) { return fail(ErrorCode::changed, std::move(why)); };
  if (paused_) return refuse("paused: `repl resume " + tree + "` first");
  if (primary_ && current_)
    return refuse("this node is the primary: `repl demote " + tree + "` first, if it shall not be");
  const Result<Session*> session = session_with(from);
  if (!session) return session;
  if (primary_ || step_down_)
    return refuse("this node has not found out yet who is the primary: ask again");
  if ((*session)->hello->role != Role::primary) {
    const std::string primary = known_primary();
    return refuse("node " + from + " is not the primary" +
                  (primary.empty()
                       ? ", and none is known: `repl promote " + tree + "` there makes it"
                       : ": that is " + primary));
  }
  if (secondary_->catching_up()) return refuse("a catch-up is under way already");
  return session;
}

void TreeEngine::request_catch_up_plan(std::string from,
                                       std::function<void(Result<CatchUpPlan>)> answer) {
  post([this, from = std::move(from), answer = std::move(answer)]() mutable {
    if (const auto session = session_to_catch_up(from); !session)
      return answer(fail(session.error()));
    begin_diff(from, [this, answer = std::move(answer)](Result<DiffResult> diff) {
      if (!diff) return answer(fail(diff.error()));
      if (const auto session = session_to_catch_up(diff->peer); !session)
        return answer(fail(session.error()));
      answer(make_plan(std::move(*diff)));
    });
  });
}

CatchUpPlan TreeEngine::make_plan(DiffResult diff) {
  const Session& session = **session_with(diff.peer);
  CatchUpPlan plan;
  plan.from = diff.peer;
  plan.here = parts_->state.position;
  plan.there = session.hello->position;
  if (!session.decided) {
    plan.state =
        plan.here.reign.is_set() ? CatchUpPlan::State::diverged : CatchUpPlan::State::joining;
  }
  for (const send::DiffItem& item : diff.items) {
    const bool here = item.change != send::DiffChange::only_peer;
    plan.kept.push_back(here && item.type != FileType::directory &&
                        secondary_->would_keep(session, item.key));
  }
  for (const auto change :
       {send::DiffChange::only_peer, send::DiffChange::content, send::DiffChange::type}) {
    plan.bytes += diff.counts.of(change).bytes;
  }
  if (diff.counts.unknown > 0) {
    plan.warnings.push_back(
        std::to_string(diff.counts.unknown) +
        " files count as changed only because their contents are not known yet");
  }
  plan.diff = std::move(diff);
  plan.id = planned_.empty() ? 1 : planned_.front().id + 1;
  planned_.push_front({.id = plan.id, .from = plan.from, .bytes = plan.bytes});
  if (planned_.size() > limits::plans_known_max) planned_.pop_back();
  return plan;
}

// Versions that are kept stay on the disk beside those that replace them.
void TreeEngine::request_catch_up(CatchUpRequest request) {
  post([this, request = std::move(request)]() mutable {
    const Result<Session*> session = session_to_catch_up(request.from);
    if (!session) return request.answer(fail(session.error()));
    const auto agreed = std::ranges::find(planned_, request.plan, &Planned::id);
    if (agreed == planned_.end() || agreed->from != request.from) {
      return request.answer(
          fail(ErrorCode::changed,
               "the plan that was agreed to is not known here any more: look at a new one"));
    }
    request.bytes_expected = agreed->bytes;
    const Result<uint64_t> room = io::free_bytes(parts_->staging->filesystem());
    if (room && *room < request.bytes_expected + limits::catch_up_spare_bytes) {
      return request.answer(
          fail(ErrorCode::no_space,
               "there is no room for what is fetched beside what is kept: " +
                   std::to_string((request.bytes_expected + limits::catch_up_spare_bytes) >> 20) +
                   " MiB are needed on the filesystem of " + escape(parts_->options.root) + ", " +
                   std::to_string(*room >> 20) + " MiB are free"));
    }
    secondary_->catch_up(**session, std::move(request));
  });
}

}  // namespace repl::run
