// backoff.h: how long to wait before the next attempt to reach a peer. Exponential between
// limits::backoff_ms_min and backoff_ms_max, with jitter, so that two nodes that lost each other do
// not meet in step.
//
// Thread: one. Deterministic for a seed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

#include "engine/base/clock.h"
#include "engine/base/limits.h"

namespace repl::transport {

class Backoff {
 public:
  explicit Backoff(uint64_t seed) : rng_(seed) {}

  // The wait before the next attempt: between half of the current step, or of `ms_max` where that
  // is shorter, and the whole of it.
  [[nodiscard]] Duration next(int64_t ms_max = limits::backoff_ms_max) {
    const int64_t step_ms = std::min(step_ms_, ms_max);
    step_ms_ = std::min<int64_t>(step_ms * 2, limits::backoff_ms_max);
    std::uniform_int_distribution<int64_t> spread(step_ms * 500'000, step_ms * 1'000'000);
    return Duration(spread(rng_));
  }
  // After a contact that was of use: when the peer has said Hello, not when TCP connected.
  void reset() { step_ms_ = limits::backoff_ms_min; }

 private:
  std::mt19937_64 rng_;
  int64_t step_ms_ = limits::backoff_ms_min;
};

}  // namespace repl::transport
