#include "engine/base/repeat_limit.h"

#include "engine/base/limits.h"

namespace repl {

RepeatLimit::Known& RepeatLimit::known(std::string_view line, MonotonicTime now) {
  if (const auto at = by_line_.find(line); at != by_line_.end()) {
    lines_.splice(lines_.begin(), lines_, at->second);
    return lines_.front();
  }
  if (lines_.size() >= limits::log_lines_known_max) {
    by_line_.erase(lines_.back().line);
    lines_.pop_back();
  }
  lines_.push_front(Known{.line = std::string(line), .since = now});
  by_line_.emplace(lines_.front().line, lines_.begin());
  return lines_.front();
}

void RepeatLimit::write(LogLevel level, std::string_view line) {
  if (level == LogLevel::debug) return behind_->write(level, line);
  const MonotonicTime now = clock_.now();
  uint64_t unsaid = 0;
  {
    const std::lock_guard lock(mutex_);
    Known& one = known(line, now);
    if (now - one.since >= std::chrono::milliseconds(limits::log_repeat_ms)) {
      unsaid = std::exchange(one.unsaid, 0);
      one.since = now;
      one.said = 0;
    }
    if (one.said >= limits::log_repeats_max) {
      ++one.unsaid;
      return;
    }
    ++one.said;
  }
  if (unsaid == 0) return behind_->write(level, line);
  behind_->write(level, fmt::format("{} (and {} more times since it was last said)", line, unsaid));
}

}  // namespace repl
