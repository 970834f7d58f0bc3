#include "tests/sim/cluster/network.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <type_traits>

#include "engine/base/check.h"
#include "transport/codec.h"

namespace repl::sim {

namespace {
constexpr size_t lane_bytes = 256 << 10;
const bool loud_messages = std::getenv("REPL_SIM_LOG") != nullptr;

// A stage is named after its file's birth, which is the kernel's clock's: of such messages only the
// size is the same in each run of a seed.
bool names_a_stage(const Message& message) {
  const auto staged = [](const Record& record) {
    const auto* put = std::get_if<Put>(&record);
    return put != nullptr && std::holds_alternative<ContentStaged>(put->content);
  };
  return std::visit(
      [&](const auto& m) {
        using M = std::decay_t<decltype(m)>;
        if constexpr (requires { m.stage; }) return true;
        if constexpr (std::is_same_v<M, Hello>) return !m.stages.empty();
        if constexpr (std::is_same_v<M, Records>) return std::ranges::any_of(m.records, staged);
        return false;
      },
      message);
}

}  // namespace

SimLink::SimLink(Traffic& traffic, std::string own, std::string peer)
    : traffic_(traffic), own_(std::move(own)), peer_(std::move(peer)) {}

void SimLink::join(const std::shared_ptr<SimLink>& a, const std::shared_ptr<SimLink>& b) {
  a->other_ = b;
  b->other_ = a;
}

bool SimLink::send(Message message, Lane lane) {
  const std::shared_ptr<SimLink> other = other_.lock();
  if (mute_ || !open() || !other) return false;
  if (traffic_.mutate) traffic_.mutate(own_, peer_, message);
  const Result<transport::Payload> payload = transport::encode_message(message);
  REPL_CHECK(payload);
  std::string raw;
  for (const std::string& piece : payload->raw) raw += piece;
  Result<Message> arrives = transport::decode_message(payload->kind, payload->body, raw);
  REPL_CHECK(arrives);
  const size_t same = names_a_stage(message) ? 0 : payload->body.size();
  traffic_.digest = XXH3_64bits_withSeed(payload->body.data(), same,
                                         traffic_.digest + payload->kind + payload->size());
  ++traffic_.messages;
  if (loud_messages)
    fmt::print(stderr, "        {}>{} kind {} size {} digest {:x}\n", own_, peer_, payload->kind,
               payload->size(), traffic_.digest);
  auto& queue = other->coming_[static_cast<size_t>(lane)];
  int64_t at = traffic_.now_ms + static_cast<int64_t>(traffic_.chance.below(8));
  if (traffic_.chance.one_in(20)) at += static_cast<int64_t>(traffic_.chance.below(200));
  if (!queue.empty()) at = std::max(at, queue.back().arrives_ms);
  queue.push_back({.arrives_ms = at, .size = payload->size(), .message = std::move(*arrives)});
  return true;
}

size_t SimLink::writable(Lane lane) const {
  const std::shared_ptr<SimLink> other = other_.lock();
  if (!other) return 0;
  size_t waiting = 0;
  for (const Sent& sent : other->coming_[static_cast<size_t>(lane)]) waiting += sent.size;
  return waiting >= lane_bytes ? 0 : lane_bytes - waiting;
}

bool SimLink::drained(Lane lane) const {
  const std::shared_ptr<SimLink> other = other_.lock();
  return !other || other->coming_[static_cast<size_t>(lane)].empty();
}

std::vector<Message> SimLink::receive() {
  std::vector<Message> arrived;
  for (auto& queue : coming_) {
    while (!queue.empty() && queue.front().arrives_ms <= traffic_.now_ms) {
      arrived.push_back(std::move(queue.front().message));
      queue.pop_front();
    }
  }
  return arrived;
}

Error SimLink::close_reason() const { return make_error(ErrorCode::closed, reason_); }

void SimLink::close(const std::string& reason) {
  open_ = false;
  const std::shared_ptr<SimLink> other = other_.lock();
  if (!other || mute_) return;
  other->reason_ = reason;
  other->end_in(static_cast<int64_t>(traffic_.chance.below(20)));
}

}  // namespace repl::sim
