// tree_handover.cc: carries out what the two state machines of a planned switchover ask for
// (engine/role/handover.h), and tells them what happened.
#include <algorithm>
#include <utility>

#include "engine/base/escape.h"
#include "engine/run/primary.h"
#include "engine/run/secondary.h"
#include "engine/run/tree_engine.h"

namespace repl::run {

// --- the command
// -----------------------------------------------------------------------------------------------

void TreeEngine::request_switchover(SwitchoverCommand command,
                                    std::function<void(std::string)> step,
                                    std::function<void(Result<SwitchoverDone>)> answer) {
  post([this, command = std::move(command), step = std::move(step),
        answer = std::move(answer)]() mutable {
    begin_switchover(command, std::move(step), std::move(answer));
  });
}

void TreeEngine::begin_switchover(const SwitchoverCommand& command,
                                  std::function<void(std::string)> step,
                                  std::function<void(Result<SwitchoverDone>)> answer) {
  const auto refuse = [&](std::string why) { answer(fail(ErrorCode::changed, std::move(why))); };
  const TreeOptions& options = parts_->options;
  if (command.to == options.node) return refuse("that is this node");
  if (!std::ranges::count(options.nodes, command.to))
    return refuse("node " + escape(command.to) + " does not carry this tree");
  if (primary_ && !current_)
    return refuse("this node has not shown yet that it is the current primary");
  if (primary_ && primary_->holds_removals()) {
    return refuse("removals are held here: `repl approve " + options.name +
                  "` first, or put back what is missing");
  }
  role::SwitchoverRequest request;
  request.peer = command.to;
  const Reign random = random_reign();
  request.token = Bits128{.high = random.high, .low = random.low};
  request.wait_max = std::chrono::milliseconds(command.timeout_ms);
  role::HandingOver trial = handing_;
  role::Actions actions =
      trial.start(parts_->state, request, readiness_of(command.to), parts_->clock.now());
  if (const auto* report = actions.empty() ? nullptr : std::get_if<role::Report>(&actions.front());
      report != nullptr && report->progress == role::Progress::failed) {
    return refuse(report->text);
  }
  if (command.dry_run) {
    return answer(
        SwitchoverDone{.from = options.node, .to = command.to, .position = parts_->state.position});
  }
  handing_ = trial;
  switching_.emplace(Switching{.began = parts_->clock.now(),
                               .to = command.to,
                               .unguarded = command.unguarded,
                               .step = std::move(step),
                               .answer = std::move(answer)});
  act(std::move(actions));
}

role::Readiness TreeEngine::readiness_of(const std::string& peer) const {
  role::Readiness ready;
  for (const auto& session : sessions_) {
    if (!session->link || session->peer != peer || !session->hello) continue;
    ready.connected = true;
    ready.features = session->hello->features;
    ready.same_policy = session->hello->policy == make_hello().policy;
  }
  if (!primary_) return ready;
  const Primary::Following at = primary_->following(peer);
  ready.synced = at.synced;
  ready.exact = at.exact;
  ready.lag = at.lag;
  ready.held_keys = at.held_keys;
  return ready;
}

// --- what happened
// ---------------------------------------------------------------------------------------------

void TreeEngine::meet_for_handover(const Session& session) {
  const Hello hello = *session.hello;
  act(handing_.on_hello(parts_->state, hello, parts_->clock.now()));
  act(taking_.on_hello(parts_->state, hello.node, parts_->clock.now()));
}

void TreeEngine::on_handover(const Session& session, const Handover& message) {
  const std::string from = session.peer;
  act(handing_.on_message(parts_->state, from, message, random_reign()));
  // It is said again: what is on its way to the disk is there by then.
  const bool too_early = message.kind == HandoverKind::grant && secondary_ && !secondary_->rests();
  if (too_early) return;
  act(taking_.on_message(parts_->state, from, message, taker_facts(), random_reign()));
}

role::TakerFacts TreeEngine::taker_facts() const {
  role::TakerFacts facts;
  if (!secondary_) return facts;
  facts.primary = secondary_->follows();
  facts.following = secondary_->followed_reign();
  facts.incomplete = parts_->index->meta(apply::incomplete_meta).has_value();
  facts.held_keys = secondary_->held_count();
  facts.history_lost = !parts_->state.position.reign.is_set();
  facts.synced = secondary_->scanned();
  if (!secondary_->rests()) return facts;  // what it has is not known to be durable
  facts.durable = parts_->state.position;
  facts.content = parts_->index->root_content();
  facts.identity = parts_->index->root_identity();
  return facts;
}

void TreeEngine::step_handover() {
  const MonotonicTime now = parts_->clock.now();
  std::deque<std::pair<role::Hook, Status>> ended;
  {
    const std::lock_guard lock(hooks_->mutex);
    ended.swap(hooks_->ended);
  }
  for (const auto& [hook, result] : ended) act(handing_.on_hook(parts_->state, hook, result));
  if (primary_ && handing_.memory().phase == role::HandingOver::Phase::cutting) {
    if (const auto cut = primary_->final_cut(handing_.memory().peer)) {
      act(handing_.on_final_cut(parts_->state, *cut, parts_->index->root_content(),
                                parts_->index->root_identity(), now));
    }
  }
  if (secondary_ && taking_.memory().token.is_set() && secondary_->rests())
    act(taking_.on_durable(parts_->state, taker_facts()));
  act(handing_.on_time(parts_->state, now));
  act(taking_.on_time(parts_->state, now));
}

std::optional<MonotonicTime> TreeEngine::handover_deadline() const {
  std::optional<MonotonicTime> first = handing_.deadline();
  const auto other = taking_.deadline(parts_->state);
  if (other && (!first || *other < *first)) first = other;
  return first;
}

// --- what is to be done
// ----------------------------------------------------------------------------------------

void TreeEngine::act(role::Actions actions) {
  for (role::Action& action : actions) {
    if (!ended_) return;  // what could not be stored is not acted on: a restart begins from there
    act_one(action);
  }
}

void TreeEngine::act_one(role::Action& action) {
  if (auto* store = std::get_if<role::Store>(&action)) {
    parts_->state = std::move(store->state);
    parts_->store_state();
    ended_ = duty_->flush();
  } else if (auto* say = std::get_if<role::Say>(&action)) {
    for (const auto& session : sessions_) {
      if (session->link && session->hello && session->peer == say->to)
        static_cast<void>(session->link->send(Message(say->message), Lane::prompt));
    }
  } else if (const auto* hook = std::get_if<role::RunHook>(&action)) {
    run_hook(hook->hook);
  } else if (const auto* guard = std::get_if<role::SetGuard>(&action)) {
    set_guard(guard->guard);
  } else if (std::holds_alternative<role::MakeFinalCut>(action)) {
    if (primary_) primary_->want_final_cut();
  } else if (std::holds_alternative<role::DrainAgain>(action)) {
    if (Status s = drain_watch(); !s) ended_ = s;
    const bool dirty = !parts_->changes.empty() || (primary_ && !primary_->settled());
    act(handing_.on_drained(parts_->state, dirty, parts_->clock.now()));
  } else if (std::holds_alternative<role::StepDown>(action)) {
    if (primary_) ended_ = become_secondary();
  } else if (std::holds_alternative<role::BecomePrimary>(action)) {
    ended_ = serve_as_primary();
    close_sessions("a new reign begins");
  } else if (std::holds_alternative<role::FollowAgain>(action)) {
    close_sessions("the role of this node changed");
  } else if (const auto* report = std::get_if<role::Report>(&action)) {
    on_report(*report);
  }
}

void TreeEngine::set_guard(role::Guard guard) {
  if (guard == role::Guard::open) return parts_->guard.want(false);
  post([this, done = parts_->guard.close_now(switching_ && switching_->unguarded)] {
    act(handing_.on_guard(parts_->state, done, parts_->clock.now()));
  });
}

// A node without a role is nobody's replica yet: its users may write.
void TreeEngine::step_guard() {
  const bool closed =
      parts_->state.role == Role::secondary || step_down_.has_value() || handing_.guard_closed();
  if (handing_.memory().phase != role::HandingOver::Phase::guarding) parts_->guard.want(closed);
  parts_->guard.step();
}

void TreeEngine::on_report(const role::Report& report) {
  const std::string& tree = parts_->options.name;
  if (report.progress == role::Progress::going_on) {
    parts_->log.info("{}: switchover: {}", tree, report.text);
    if (switching_ && switching_->step) switching_->step(report.text);
    return;
  }
  handover_blocked_ = report.progress == role::Progress::blocked ? report.text : std::string();
  if (report.progress == role::Progress::done)
    parts_->log.info("{}: switchover: {}", tree, report.text);
  else
    parts_->log.error("{}: switchover: {}", tree, report.text);
  if (!switching_) return;
  const Switching command = std::move(*std::exchange(switching_, std::nullopt));
  if (report.progress != role::Progress::done)
    return command.answer(fail(ErrorCode::closed, report.text));
  const Duration took = parts_->clock.now() - command.began;
  Position after = parts_->state.position;
  if (!parts_->state.lineage.empty()) after.epoch = parts_->state.lineage.back().epoch;
  command.answer(SwitchoverDone{.from = parts_->options.node,
                                .to = command.to,
                                .position = after,
                                .seconds = std::chrono::duration<double>(took).count()});
}

// Its end is told on another thread, also when this engine is gone.
void TreeEngine::run_hook(role::Hook hook) {
  const auto ended = [hooks = hooks_, hook](const Status& result) {
    const std::lock_guard lock(hooks->mutex);
    hooks->ended.emplace_back(hook, result);
    if (hooks->wake) hooks->wake();
  };
  if (!parts_->options.run_hook) return ended({});
  const auto kind =
      hook == role::Hook::on_promote ? TreeEvent::Kind::promoted : TreeEvent::Kind::demoted;
  parts_->options.run_hook(TreeEvent{.kind = kind,
                                     .peer = parts_->state.handover.peer,
                                     .reason = {},
                                     .epoch = parts_->state.position.epoch,
                                     .role = parts_->state.role},
                           ended);
}

// The state is a primary's.
Status TreeEngine::serve_as_primary() {
  if (secondary_) {
    secondary_->stop();
    if (Status s = duty_->health(); !s) return s;
    secondary_->let_go();
  }
  if (Status s = begin_reign(); !s) return s;
  current_ = true;
  alone_ = false;
  alone_until_.reset();
  if (!primary_) begin_primary();
  return {};
}

}  // namespace repl::run
