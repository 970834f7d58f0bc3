// tree_promotion.cc: before a promotion is decided, the peers are asked anew. A connection that
// broke in silence is only found out by its heartbeats, and what the peer said last is of before.
//
// The question is an AskKeys for nothing, which every version answers: over a connection that
// stands, what the peer said last of its role is so still, because a change of it closes the
// connection. So a peer has answered if it did over that connection, or said hello over a new one.
#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/base/limits.h"
#include "engine/run/tree_engine.h"

namespace repl::run {

void TreeEngine::request_promote(PromoteRequest request,
                                 std::function<void(Result<RoleChange>)> answer) {
  post([this, request, answer = std::move(answer)]() mutable {
    begin_promotion(request, std::move(answer));
  });
}

void TreeEngine::begin_promotion(const PromoteRequest& request,
                                 std::function<void(Result<RoleChange>)> answer) {
  if (asking_)
    return answer(fail(ErrorCode::changed, "another promotion is being decided: ask again"));
  asking_.emplace(Asking{
      .request = request,
      .answer = std::move(answer),
      .nodes = {},
      .until = parts_->clock.now() + std::chrono::milliseconds(limits::promote_answer_ms_max)});
  for (const auto& session : sessions_) {
    if (!session->link || session->peer.empty()) continue;
    asking_->nodes.push_back(session->peer);
    if (!session->hello) continue;  // that is its answer
    session->owes_word = true;
    static_cast<void>(session->link->send(AskKeys{.keys = {}, .diff = true}, Lane::prompt));
  }
  step_promotion();
}

bool TreeEngine::answers(const std::string& node) const {
  return std::ranges::any_of(sessions_, [&](const auto& session) {
    return session->link && session->peer == node && session->hello && !session->owes_word;
  });
}

// Who has not answered in time counts as not reachable, which is among the warnings.
void TreeEngine::step_promotion() {
  if (!asking_) return;
  const bool all =
      std::ranges::all_of(asking_->nodes, [this](const auto& node) { return answers(node); });
  if (!all && parts_->clock.now() < asking_->until) return;
  const Asking asked = *std::exchange(asking_, std::nullopt);
  asked.answer(promote(asked.request));
}

}  // namespace repl::run
