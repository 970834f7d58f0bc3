#include <algorithm>
#include <utility>

#include "engine/base/limits.h"
#include "engine/role/handover.h"

namespace repl::role {

namespace {

constexpr Duration retry = std::chrono::milliseconds(limits::handover_retry_ms);

std::string command(const std::string& peer) { return "`repl switchover --to " + peer + "`"; }

// Why the successor cannot take over now; empty if it can.
std::string why_not(const std::string& peer, const Readiness& readiness) {
  if (!readiness.connected) return "node " + peer + " is not connected: see `repl status`";
  if ((readiness.features & feature_roles) == 0)
    return "node " + peer + " runs an older repl that knows no switchover: upgrade it";
  if (!readiness.same_policy)
    return "node " + peer +
           " has another filter or attribute policy for this tree: put the same config file on "
           "both and reload";
  if (readiness.held_keys > 0)
    return "node " + peer + " holds " + std::to_string(readiness.held_keys) +
           " paths that wait for a person: see `repl status` there, and `repl approve`";
  if (!readiness.synced) return "node " + peer + " is not in sync yet: `repl wait` says when it is";
  if (!readiness.exact)
    return "node " + peer + " has contents under way: `repl wait` says when it has them";
  if (readiness.lag > std::chrono::milliseconds(limits::handover_lag_ms_max))
    return "node " + peer + " is too far behind: `repl wait` says when it is not";
  return {};
}

Actions refusal(std::string text) { return {Report{Progress::failed, std::move(text)}}; }

bool differ(const Fingerprint& a, const Fingerprint& b) {
  return a.is_set() && b.is_set() && a != b;
}

void append(Actions& actions, Actions more) {
  std::ranges::move(more, std::back_inserter(actions));
}

}  // namespace

Handover HandingOver::message(const NodeState& state, HandoverKind kind) const {
  Handover out{.kind = kind,
               .token = memory_.token,
               .reign = state.position.reign,
               .epoch = state.position.epoch,
               .cut = memory_.cut,
               .reason = {}};
  if (kind == HandoverKind::grant) {
    out.epoch = state.handover.epoch;
    out.content = memory_.content;
    out.identity = memory_.identity;
  }
  return out;
}

// --- beginning
// ---------------------------------------------------------------------------------------------------

Actions HandingOver::restarted(const NodeState& state, MonotonicTime now) {
  const HandoverState& was = state.handover;
  memory_ = Memory{.token = was.token, .peer = was.peer};
  if (was.stage == HandoverStage::handed) {
    memory_.phase = Phase::granting;
    memory_.cut = was.final_cut;
    memory_.say_again = now;
    return {};
  }
  if (was.stage == HandoverStage::draining) return give_up(state, "the daemon was restarted");
  return serve(state);
}

Actions HandingOver::start(const NodeState& state, const SwitchoverRequest& request,
                           const Readiness& readiness, MonotonicTime now) {
  if (waits_for_answer(state))
    return refusal("this node has handed the tree to node " + state.handover.peer +
                   " already and waits for its answer: see `repl status` there");
  if (state.role != Role::primary)
    return refusal("this node is not the primary: run " + command(request.peer) +
                   " on the one that is (`repl status` names it)");
  if (memory_.phase != Phase::idle)
    return refusal("a switchover to node " + memory_.peer + " is under way: see `repl status`");
  if (std::string why = why_not(request.peer, readiness); !why.empty()) return refusal(why);
  memory_ = Memory{.phase = Phase::asking,
                   .token = request.token,
                   .peer = request.peer,
                   .wait_max = request.wait_max,
                   .give_up = now + request.wait_max,
                   .say_again = now + retry};
  return {Report{Progress::going_on, "asking node " + request.peer + " to take over"},
          Say{memory_.peer, message(state, HandoverKind::prepare)}};
}

// --- time and contact
// ---------------------------------------------------------------------------------------------------

Actions HandingOver::say_again(const NodeState& state, MonotonicTime now) {
  memory_.say_again = now + retry;
  switch (memory_.phase) {
    case Phase::asking:
      return {Say{memory_.peer, message(state, HandoverKind::prepare)}};
    case Phase::waiting:
      return {Say{memory_.peer, message(state, HandoverKind::drain)}};
    case Phase::granting:
      return {Say{memory_.peer, message(state, HandoverKind::grant)}};
    default:
      return {};
  }
}

std::optional<MonotonicTime> HandingOver::deadline() const {
  switch (memory_.phase) {
    case Phase::asking:
    case Phase::waiting:
      return std::min(memory_.give_up, memory_.say_again);
    case Phase::cutting:
      return memory_.give_up;
    case Phase::granting:
      return memory_.say_again;
    default:
      return std::nullopt;
  }
}

Actions HandingOver::on_time(const NodeState& state, MonotonicTime now) {
  const std::optional<MonotonicTime> first = deadline();
  if (!first || now < *first) return {};
  if (memory_.phase != Phase::granting && now >= memory_.give_up) {
    return give_up(state, memory_.phase == Phase::asking
                              ? "node " + memory_.peer + " did not answer in time"
                              : "the last changes did not reach node " + memory_.peer +
                                    " in time (does something still write to the tree?)");
  }
  return say_again(state, now);
}

Actions HandingOver::on_hello(const NodeState& state, const Hello& hello, MonotonicTime now) {
  if (waits_for_answer(state)) {
    const auto step = went_on(hello.lineage, state.position.reign, state.handover.final_cut,
                              state.handover.epoch);
    if (step) return follow_successor(state, *step);
  }
  if (hello.node != memory_.peer) return {};
  return say_again(state, now);
}

// --- what the successor says
// ---------------------------------------------------------------------------------------------------

Actions HandingOver::on_message(const NodeState& state, const std::string& from,
                                const Handover& message, const Reign& fresh) {
  const bool ours =
      memory_.phase != Phase::idle && message.token == memory_.token && from == memory_.peer;
  if (message.kind == HandoverKind::ready) return on_ready(state, from, message);
  if (!ours) return {};
  const bool granting = memory_.phase == Phase::granting;
  switch (message.kind) {
    // While the hook runs or the guard closes, drain has not been said: it will be declined again.
    case HandoverKind::declined:
      if (memory_.phase != Phase::asking && memory_.phase != Phase::cutting &&
          memory_.phase != Phase::waiting) {
        return {};
      }
      return give_up(state, message.reason);
    case HandoverKind::drained:
      return on_drained_message(state, message);
    case HandoverKind::confirm:
      if (!granting || message.cut < memory_.cut || message.epoch < state.handover.epoch) return {};
      return follow_successor(
          state,
          LineageStep{.reign = message.reign, .epoch = message.epoch, .began_at = message.cut});
    case HandoverKind::refused:
      return granting ? on_refused(state, message, fresh) : Actions{};
    case HandoverKind::unknown:
      if (!granting) return {};
      return {Report{Progress::blocked,
                     "node " + from + " cannot tell whether it took over (" + message.reason +
                         "): find out which node has served since, and run `repl promote --force` "
                         "there"}};
    default:
      return {};
  }
}

// A successor says it again at each contact; one whose token is not known here waits for a grant
// that will never come.
Actions HandingOver::on_ready(const NodeState& state, const std::string& from,
                              const Handover& ready) {
  const bool known = memory_.phase != Phase::idle && ready.token == memory_.token;
  if (!known) {
    Handover off{.kind = HandoverKind::abort,
                 .token = ready.token,
                 .reign = ready.reign,
                 .epoch = state.position.epoch,
                 .reason = "node " + from + " was asked to take over, and is not needed any more"};
    return {Say{from, std::move(off)}};
  }
  if (memory_.phase != Phase::asking || from != memory_.peer) return {};
  NodeState next = state;
  next.handover = HandoverState{.stage = HandoverStage::draining,
                                .token = memory_.token,
                                .peer = memory_.peer,
                                .epoch = Epoch{state.position.epoch.value + 1}};
  memory_.phase = Phase::stopping;
  return {Store{std::move(next)},
          Report{Progress::going_on, "node " + from + " is ready: stopping the writers here"},
          RunHook{Hook::on_demote}};
}

Actions HandingOver::on_drained_message(const NodeState& state, const Handover& drained) {
  if (memory_.phase != Phase::waiting || drained.cut < memory_.cut) return {};
  // At a later cut: one was made since, and the look that follows sees it.
  const bool at_final = drained.cut == memory_.cut;
  if (at_final &&
      (differ(drained.content, memory_.content) || differ(drained.identity, memory_.identity))) {
    return give_up(state, "the trees differ although node " + memory_.peer +
                              " has every cut: `repl verify` says where");
  }
  memory_.phase = Phase::checking;
  return {DrainAgain{}};
}

Actions HandingOver::follow_successor(const NodeState& state, const LineageStep& step) {
  memory_ = Memory{};
  return {Store{give_way(state, step)}, FollowAgain{},
          Report{Progress::done, "node " + state.handover.peer +
                                     " took over: this node follows, in epoch " +
                                     std::to_string(step.epoch.value)}};
}

Actions HandingOver::on_refused(const NodeState& state, const Handover& refused,
                                const Reign& fresh) {
  const std::string peer = std::exchange(memory_, Memory{}).peer;
  const Epoch seen = std::max(state.epoch_seen, refused.epoch);
  if (seen > state.position.epoch) {
    NodeState next = state;
    next.epoch_seen = seen;
    next.handover = HandoverState{};
    return {Store{std::move(next)}, FollowAgain{},
            Report{Progress::failed, "node " + peer + " did not take over (" + refused.reason +
                                         "), and a newer epoch was seen: another node was "
                                         "promoted meanwhile. `repl status` names it"}};
  }
  NodeState next = take_back(state, fresh);
  Actions actions{Store{next}, BecomePrimary{}};
  append(actions, serve(next));
  actions.push_back(Report{Progress::failed, "node " + peer +
                                                 " did not take over: " + refused.reason +
                                                 ". This node is the primary again; once that is "
                                                 "mended, run " +
                                                 command(peer) + " again"});
  return actions;
}

Actions HandingOver::fenced() {
  const Memory was = std::exchange(memory_, Memory{});
  if (was.phase == Phase::idle) return {};
  return {Report{Progress::failed,
                 "no switchover to node " + was.peer + ": another node was promoted meanwhile"}};
}

Actions HandingOver::take_back_by_force(const NodeState& state, const Reign& fresh) {
  if (!waits_for_answer(state)) return {};
  memory_ = Memory{};
  NodeState next = take_back(state, fresh);
  Actions actions{Store{next}, BecomePrimary{}};
  append(actions, serve(next));
  return actions;
}

// --- what this node did
// ---------------------------------------------------------------------------------------------------

Actions HandingOver::on_hook(const NodeState& state, Hook hook, const Status& result) {
  if (hook == Hook::on_promote) return promote_hook_ended(state, result);
  if (memory_.phase != Phase::stopping) return {};
  if (!result) return give_up(state, "on_demote failed: " + result.error().message);
  memory_.phase = Phase::guarding;
  return {SetGuard{Guard::closed}};
}

Actions HandingOver::on_guard(const NodeState& state, const Status& result, MonotonicTime now) {
  if (memory_.phase != Phase::guarding) return {};
  if (!result) {
    return give_up(state, "the tree cannot be made read-only: " + result.error().message);
  }
  memory_.give_up = now + memory_.wait_max;
  return cut_again(now);
}

Actions HandingOver::cut_again(MonotonicTime now) {
  memory_.phase = Phase::cutting;
  memory_.say_again = now + retry;
  return {MakeFinalCut{}};
}

Actions HandingOver::on_final_cut(const NodeState& state, CutNumber cut, const Fingerprint& content,
                                  const Fingerprint& identity, MonotonicTime now) {
  if (memory_.phase != Phase::cutting) return {};
  memory_.phase = Phase::waiting;
  memory_.cut = cut;
  memory_.content = content;
  memory_.identity = identity;
  return say_again(state, now);
}

Actions HandingOver::on_drained(const NodeState& state, bool anything_dirty, MonotonicTime now) {
  const bool more = anything_dirty || state.position.cut != memory_.cut;
  if (memory_.phase == Phase::checking) return more ? cut_again(now) : hand(state);
  if (memory_.phase != Phase::letting_go) return {};
  if (!more) {
    memory_.phase = Phase::granting;
    Actions actions{StepDown{}};
    append(actions, say_again(state, now));
    return actions;
  }
  NodeState next = state;
  next.role = Role::primary;
  next.handover.stage = HandoverStage::draining;
  Actions actions{Store{std::move(next)}};
  append(actions, cut_again(now));
  return actions;
}

// Nobody is the primary from here until the answer. Grant was never said, so that the way back is
// still open, once: what came since the last drain is sent first.
Actions HandingOver::hand(const NodeState& state) {
  memory_.phase = Phase::letting_go;
  NodeState next = state;
  next.role = Role::secondary;
  next.handover.stage = HandoverStage::handed;
  next.handover.final_cut = memory_.cut;
  return {Store{std::move(next)}, DrainAgain{}};
}

// Only while this node is the primary.
Actions HandingOver::give_up(const NodeState& state, const std::string& why) {
  Actions actions;
  const bool writers_stopped = state.handover.stage == HandoverStage::draining;
  if (writers_stopped) {
    NodeState next = state;
    next.handover = HandoverState{.peer = {}, .hook_due = true};
    actions.push_back(Store{next});
    append(actions, serve(next));
  }
  Handover off = message(state, HandoverKind::abort);
  off.reason = why;
  actions.push_back(Say{memory_.peer, std::move(off)});
  actions.push_back(Report{Progress::failed, "no switchover: " + why +
                                                 ". This node is still the primary; once that is "
                                                 "mended, run " +
                                                 command(memory_.peer) + " again"});
  memory_ = Memory{};
  return actions;
}

}  // namespace repl::role
