#include <utility>

#include "engine/base/limits.h"
#include "engine/role/handover.h"

namespace repl::role {

namespace {

Handover answer(const Handover& asked, HandoverKind kind, std::string reason = {}) {
  return Handover{.kind = kind,
                  .token = asked.token,
                  .reign = asked.reign,
                  .epoch = asked.epoch,
                  .cut = asked.cut,
                  .reason = std::move(reason)};
}

bool is_prepared(const NodeState& state, const std::string& from, const Bits128& token) {
  return state.handover.stage == HandoverStage::prepared && state.handover.token == token &&
         state.handover.peer == from;
}

// Why this node would not take over now; empty if it would.
std::string why_not(const TakerFacts& facts) {
  if (facts.held_keys > 0)
    return std::to_string(facts.held_keys) +
           " paths are held there: see `repl status` and `repl approve`";
  if (facts.incomplete || !facts.synced) return "it is not in sync: `repl wait` says when it is";
  return {};
}

std::string why_not_prepare(const NodeState& state, const std::string& from, const Handover& asked,
                            const TakerFacts& facts) {
  const HandoverState& handover = state.handover;
  if (state.role != Role::secondary || waits_for_answer(state)) return "it is not a secondary";
  if (facts.primary != from || facts.following != asked.reign)
    return "it does not follow this node";
  if (asked.epoch != state.epoch_seen) return "it has seen a newer epoch: another was promoted";
  // The token of a grant that was refused comes to life no more; nor does its epoch.
  if (handover.stage == HandoverStage::cancelled && asked.epoch < handover.epoch)
    return "it has refused a grant of this epoch";
  return why_not(facts);
}

std::string why_not_grant(const NodeState& state, const std::string& from, const Handover& asked,
                          const TakerFacts& facts) {
  if (!is_prepared(state, from, asked.token)) return "it was not prepared";
  if (asked.epoch.value != state.epoch_seen.value + 1) return "it has seen a newer epoch";
  if (facts.durable.reign != asked.reign || facts.durable.cut != asked.cut)
    return "it is not at the last cut";
  const bool differs =
      (asked.content.is_set() && facts.content.is_set() && asked.content != facts.content) ||
      (asked.identity.is_set() && facts.identity.is_set() && asked.identity != facts.identity);
  if (differs) return "its tree was changed locally: `repl verify` says where";
  return why_not(facts);
}

}  // namespace

// The abort may have been lost, or the primary was restarted and knows nothing of it.
std::optional<MonotonicTime> TakingOver::deadline(const NodeState& state) const {
  if (state.handover.stage != HandoverStage::prepared) return std::nullopt;
  return memory_.say_again;
}

Actions TakingOver::on_time(const NodeState& state, MonotonicTime now) {
  const std::optional<MonotonicTime> at = deadline(state);
  return at && now >= *at ? on_hello(state, state.handover.peer, now) : Actions{};
}

Actions TakingOver::on_hello(const NodeState& state, const std::string& from, MonotonicTime now) {
  const HandoverState& handover = state.handover;
  if (handover.stage != HandoverStage::prepared || handover.peer != from) return {};
  memory_.say_again = now + std::chrono::milliseconds(limits::handover_retry_ms);
  return {Say{from, Handover{.kind = HandoverKind::ready,
                             .token = handover.token,
                             .reign = state.position.reign,
                             .epoch = state.position.epoch,
                             .reason = {}}}};
}

Actions TakingOver::on_message(const NodeState& state, const std::string& from,
                               const Handover& asked, const TakerFacts& facts, const Reign& fresh) {
  switch (asked.kind) {
    case HandoverKind::prepare:
      return on_prepare(state, from, asked, facts);
    case HandoverKind::drain:
      return on_drain(state, from, asked, facts);
    case HandoverKind::grant:
      return on_grant(state, from, asked, facts, fresh);
    case HandoverKind::abort: {
      if (!is_prepared(state, from, asked.token)) return {};
      NodeState next = state;
      next.handover = HandoverState{};
      return {Store{std::move(next)}};
    }
    default:
      return {};
  }
}

Actions TakingOver::on_prepare(const NodeState& state, const std::string& from,
                               const Handover& asked, const TakerFacts& facts) const {
  if (is_prepared(state, from, asked.token)) return {Say{from, answer(asked, HandoverKind::ready)}};
  if (std::string why = why_not_prepare(state, from, asked, facts); !why.empty())
    return {Say{from, answer(asked, HandoverKind::declined, "it cannot take over: " + why)}};
  NodeState next = state;
  next.handover = HandoverState{.stage = HandoverStage::prepared,
                                .token = asked.token,
                                .peer = from,
                                .epoch = Epoch{asked.epoch.value + 1}};
  return {Store{std::move(next)}, Say{from, answer(asked, HandoverKind::ready)}};
}

Actions TakingOver::on_drain(const NodeState& state, const std::string& from, const Handover& asked,
                             const TakerFacts& facts) {
  if (!is_prepared(state, from, asked.token))
    return {Say{from, answer(asked, HandoverKind::declined, "it is not prepared to take over")}};
  memory_.token = asked.token;
  memory_.peer = from;
  memory_.reign = asked.reign;
  memory_.cut = asked.cut;
  return on_durable(state, facts);
}

Actions TakingOver::on_durable(const NodeState& state, const TakerFacts& facts) {
  if (!is_prepared(state, memory_.peer, memory_.token) || facts.durable.reign != memory_.reign ||
      facts.durable.cut < memory_.cut) {
    return {};
  }
  Handover drained{.kind = HandoverKind::drained,
                   .token = memory_.token,
                   .reign = facts.durable.reign,
                   .epoch = facts.durable.epoch,
                   .cut = facts.durable.cut,
                   .content = facts.content,
                   .identity = facts.identity,
                   .reason = {}};
  memory_.token = {};
  return {Say{memory_.peer, std::move(drained)}};
}

// Grant comes only from a node that is no primary any more, and it waits for one of these answers.
Actions TakingOver::on_grant(const NodeState& state, const std::string& from, const Handover& asked,
                             const TakerFacts& facts, const Reign& fresh) const {
  const HandoverState& handover = state.handover;
  if (facts.history_lost)
    return {Say{from, answer(asked, HandoverKind::unknown, "it has lost its state")}};
  // Taken over before (by this token, by a promotion), whoever is the primary by now.
  if (const auto step = went_on(state.lineage, asked.reign, asked.cut, asked.epoch)) {
    Handover confirm = answer(asked, HandoverKind::confirm);
    confirm.reign = step->reign;
    confirm.epoch = step->epoch;
    confirm.cut = step->began_at;
    return {Say{from, std::move(confirm)}};
  }
  if (state.role == Role::primary || waits_for_answer(state))
    return {Say{from, answer(asked, HandoverKind::unknown, "it follows another history")}};
  const std::string why = why_not_grant(state, from, asked, facts);
  if (why.empty()) {
    NodeState next = begin_reign(state, fresh, asked.epoch);
    next.handover = HandoverState{.peer = {}, .hook_due = true};
    Handover confirm = answer(asked, HandoverKind::confirm);
    confirm.reign = fresh;
    Actions actions{Store{next}, BecomePrimary{}, Say{from, std::move(confirm)}};
    for (Action& action : serve(next)) actions.push_back(std::move(action));
    actions.push_back(Report{Progress::done, "this node took over from node " + from});
    return actions;
  }
  Handover refused = answer(asked, HandoverKind::refused, why);
  refused.epoch = state.epoch_seen;
  // Cancelled already, or of an epoch that is over: no prepare of it can be accepted any more.
  const bool dead = (handover.stage == HandoverStage::cancelled && asked.epoch <= handover.epoch) ||
                    asked.epoch <= state.epoch_seen;
  if (dead) return {Say{from, std::move(refused)}};
  NodeState next = state;
  next.handover = HandoverState{
      .stage = HandoverStage::cancelled, .token = asked.token, .peer = from, .epoch = asked.epoch};
  return {Store{std::move(next)}, Say{from, std::move(refused)},
          Report{Progress::failed, "did not take over from node " + from + ": " + why}};
}

}  // namespace repl::role
