#include "engine/run/waiters.h"

#include <algorithm>
#include <utility>

namespace repl::run {

namespace {
// How long one who went away may still be waited for.
constexpr Duration abandoned_interval = std::chrono::seconds(1);
}  // namespace

void Waiters::add(const WaitRequest& request, std::function<void(WaitAnswer)> answer,
                  MonotonicTime now) {
  Waiter waiter{
      .request = request, .answer = std::move(answer), .since = now, .until = {}, .target = {}};
  if (request.timeout_ms) waiter.until = now + std::chrono::milliseconds(*request.timeout_ms);
  waiters_.push_back(std::move(waiter));
}

std::optional<WaitAnswer> Waiters::judge(const Waiter& waiter, MonotonicTime now,
                                         uint64_t unreadable,
                                         const std::vector<PeerStanding>& peers) {
  bool all = waiter.target.has_value();
  std::string missing = waiter.target ? "" : "changes are still being read";
  uint64_t held_keys = 0;
  for (const PeerStanding& peer : peers) {
    if (!waiter.request.only.empty() && peer.node != waiter.request.only) continue;
    if (!peer.connected && !waiter.request.wait_for_peers) {
      return WaitAnswer{
          .result = WaitResult::peer_away,
          .cut = waiter.target.value_or(CutNumber{}),
          .detail = peer.node + " is away" + (peer.reason.empty() ? "" : ": " + peer.reason)};
    }
    if (peer.held) {
      return WaitAnswer{.result = WaitResult::held,
                        .cut = waiter.target.value_or(CutNumber{}),
                        .detail = peer.node + ": " + peer.reason};
    }
    const CutNumber reached = waiter.request.level == AckLevel::durable   ? peer.durable
                              : waiter.request.level == AckLevel::applied ? peer.applied
                                                                          : peer.received;
    held_keys += peer.held_keys;
    if (!waiter.target || !peer.connected || reached < *waiter.target || peer.owes) {
      all = false;
      missing = peer.node + " is not there yet";
    }
  }
  if (all && held_keys > 0) {
    return WaitAnswer{
        .result = WaitResult::held,
        .cut = *waiter.target,
        .detail = std::to_string(held_keys) + " paths are held on a peer: see repl status"};
  }
  if (all && unreadable > 0) {
    return WaitAnswer{
        .result = WaitResult::held,
        .cut = *waiter.target,
        .detail = std::to_string(unreadable) + " paths cannot be read here: see repl status"};
  }
  if (all) return WaitAnswer{.result = WaitResult::reached, .cut = *waiter.target, .detail = {}};
  if (waiter.until && now >= *waiter.until) {
    return WaitAnswer{.result = WaitResult::timeout,
                      .cut = waiter.target.value_or(CutNumber{}),
                      .detail = missing};
  }
  return std::nullopt;
}

void Waiters::step(MonotonicTime now, const OwnStanding& own,
                   const std::vector<PeerStanding>& peers) {
  const auto abandoned = [](const Waiter& w) {
    return w.request.abandoned && w.request.abandoned();
  };
  std::erase_if(waiters_, abandoned);
  std::vector<std::pair<std::function<void(WaitAnswer)>, WaitAnswer>> done;
  std::erase_if(waiters_, [&](Waiter& waiter) {
    const bool in_cuts = !own.oldest_change || *own.oldest_change > waiter.since;
    if (!waiter.target && !own.scanning && in_cuts) waiter.target = own.cut;
    std::optional<WaitAnswer> answer = judge(waiter, now, own.unreadable, peers);
    if (!answer) return false;
    done.emplace_back(std::move(waiter.answer), std::move(*answer));
    return true;
  });
  for (auto& [call, answer] : done) call(std::move(answer));
}

std::optional<MonotonicTime> Waiters::deadline(MonotonicTime now) const {
  std::optional<MonotonicTime> first;
  for (const Waiter& waiter : waiters_) {
    if (waiter.until && (!first || *waiter.until < *first)) first = waiter.until;
  }
  const bool may_go =
      std::ranges::any_of(waiters_, [](const Waiter& w) { return bool(w.request.abandoned); });
  if (may_go && (!first || now + abandoned_interval < *first)) first = now + abandoned_interval;
  return first;
}

void Waiters::fail_all(const std::string& why) {
  for (Waiter& waiter : std::exchange(waiters_, {})) {
    waiter.answer(WaitAnswer{.result = WaitResult::closed, .cut = {}, .detail = why});
  }
}

}  // namespace repl::run
