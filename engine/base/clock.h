// clock.h: time comes in through the constructor, so that a simulator can own it.
//
// Thread: implementations are safe from any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace repl {

using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
using Duration = std::chrono::nanoseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  // For time-outs, back-off and lag.
  [[nodiscard]] virtual MonotonicTime now() const = 0;
  // Nanoseconds since 1970, for people and for the racy rule only.
  [[nodiscard]] virtual int64_t wall_ns() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] int64_t wall_ns() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace repl
