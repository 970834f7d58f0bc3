#include "engine/base/repeat_limit.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/base/limits.h"

namespace repl {
namespace {

class FakeClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime now() const override { return now_; }
  [[nodiscard]] int64_t wall_ns() const override { return 0; }
  void advance_ms(int64_t ms) { now_ += std::chrono::milliseconds(ms); }

 private:
  MonotonicTime now_{};
};

class Kept final : public Log {
 public:
  explicit Kept(std::vector<std::string>& lines) : lines_(lines) {}
  void write(LogLevel, std::string_view line) override { lines_.emplace_back(line); }
  [[nodiscard]] bool enabled(LogLevel level) const override { return level != LogLevel::debug; }

 private:
  std::vector<std::string>& lines_;
};

struct RepeatLimitTest : testing::Test {
  FakeClock clock;
  std::vector<std::string> lines;
  RepeatLimit log{std::make_unique<Kept>(lines), clock};
};

TEST_F(RepeatLimitTest, TheSameWordsAreSaidSoOftenAndThenCounted) {
  for (int i = 0; i < 1000; ++i) {
    log.error("the disk is full");
    clock.advance_ms(10);
  }
  EXPECT_EQ(lines, std::vector<std::string>(limits::log_repeats_max, "the disk is full"));
  clock.advance_ms(limits::log_repeat_ms);
  log.error("the disk is full");
  ASSERT_EQ(lines.size(), limits::log_repeats_max + 1);
  EXPECT_EQ(lines.back(), "the disk is full (and " +
                              std::to_string(1000 - limits::log_repeats_max) +
                              " more times since it was last said)");
  log.error("the disk is full");
  EXPECT_EQ(lines.back(), "the disk is full");
}

TEST_F(RepeatLimitTest, OtherWordsAreSaidMeanwhile) {
  for (int i = 0; i < 100; ++i) log.warn("away");
  log.info("something else");
  EXPECT_EQ(lines.back(), "something else");
  EXPECT_EQ(lines.size(), limits::log_repeats_max + 1);
  EXPECT_FALSE(log.enabled(LogLevel::debug));
  EXPECT_TRUE(log.enabled(LogLevel::info));
}

// Lines with numbers in them are all different: those that were said last are known.
TEST_F(RepeatLimitTest, WhatIsRememberedIsBounded) {
  for (size_t i = 0; i < limits::log_repeats_max; ++i) log.warn("old");
  const size_t other = limits::log_lines_known_max - 1;
  for (size_t i = 0; i < other; ++i) log.info("line {}", i);
  log.warn("old");
  EXPECT_EQ(lines.size(), limits::log_repeats_max + other) << "still known";
  for (size_t i = 0; i < limits::log_lines_known_max; ++i) log.info("other {}", i);
  log.warn("old");
  EXPECT_EQ(lines.back(), "old") << "forgotten";
}

}  // namespace
}  // namespace repl
