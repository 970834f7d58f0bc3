// repeat_limit.h: a Log in front of another that says the same line only so often. What is tried
// again and again (a full disk, a peer that comes and goes) fails with the same words each time:
// they are said limits::log_repeats_max times in limits::log_repeat_ms, the next time after that
// with how often they were not said.
//
// Bounds: limits::log_lines_known_max lines are remembered; the one not said for longest is
// forgotten. Thread: any.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/base/clock.h"
#include "engine/base/log.h"

namespace repl {

class RepeatLimit final : public Log {
 public:
  // `clock` outlives it.
  RepeatLimit(std::unique_ptr<Log> behind, const Clock& clock)
      : behind_(std::move(behind)), clock_(clock) {}

  void write(LogLevel level, std::string_view line) override;
  [[nodiscard]] bool enabled(LogLevel level) const override { return behind_->enabled(level); }

 private:
  struct Known {
    std::string line;
    MonotonicTime since;  // of the window that counts
    uint64_t said = 0;    // in it
    uint64_t unsaid = 0;
  };
  using Lines = std::list<Known>;  // last written first
  Known& known(std::string_view line, MonotonicTime now);

  const std::unique_ptr<Log> behind_;
  const Clock& clock_;
  std::mutex mutex_;
  Lines lines_;
  std::unordered_map<std::string_view, Lines::iterator> by_line_;  // views into lines_
};

}  // namespace repl
