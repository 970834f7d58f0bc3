#include "engine/change/brake.h"

#include <algorithm>

namespace repl::change {

namespace {

constexpr Duration window = std::chrono::milliseconds(limits::delete_window_ms);
constexpr Duration window_slot = window / 60;

}  // namespace

void Brake::saw(uint64_t entries, MonotonicTime now) {
  while (!seen_.empty() && now - seen_.front().first > window) seen_.pop_front();
  if (seen_.empty() || now - seen_.back().first >= window_slot) {
    seen_.emplace_back(now, entries);
  } else {
    seen_.back().second = std::max(seen_.back().second, entries);
  }
}

uint64_t Brake::most(MonotonicTime now) const {
  uint64_t most = 0;
  for (const auto& [at, entries] : seen_) {
    if (now - at <= window) most = std::max(most, entries);
  }
  return most;
}

bool Brake::allows(uint64_t left, MonotonicTime now) const {
  if (!limits_.on) return true;
  const uint64_t had = most(now);
  const uint64_t lost = had > left ? had - left : 0;
  return lost <= limits_.entries || lost * 100 <= had * limits_.percent;
}

}  // namespace repl::change
