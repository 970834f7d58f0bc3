#include "engine/role/handover.h"

#include <algorithm>

namespace repl::role {

bool waits_for_answer(const NodeState& state) {
  return state.handover.stage == HandoverStage::handed;
}

std::optional<LineageStep> went_on(const Lineage& lineage, const Reign& reign, CutNumber cut,
                                   Epoch epoch) {
  for (size_t i = 0; i + 1 < lineage.size(); ++i) {
    if (lineage[i].reign != reign) continue;
    const LineageStep& next = lineage[i + 1];
    if (next.epoch >= epoch && next.began_at >= cut) return next;
    return std::nullopt;
  }
  return std::nullopt;
}

NodeState take_back(NodeState state, const Reign& fresh) {
  const Epoch burnt = std::max(state.handover.epoch, state.epoch_seen);
  state = begin_reign(std::move(state), fresh, Epoch{burnt.value + 1});
  state.handover = HandoverState{.peer = {}, .hook_due = true};
  return state;
}

Actions serve(const NodeState& state) {
  if (state.role != Role::primary || !state.handover.hook_due) return {};
  return {SetGuard{Guard::open}, RunHook{Hook::on_promote}};
}

Actions promote_hook_ended(const NodeState& state, const Status& result) {
  if (!state.handover.hook_due) return {};
  NodeState next = state;
  next.handover.hook_due = false;
  Actions actions{Store{std::move(next)}};
  if (!result) {
    actions.push_back(
        Report{Progress::going_on, "this node is the primary, but on_promote failed: " +
                                       result.error().message + ". Start what it starts by hand"});
  }
  return actions;
}

}  // namespace repl::role
