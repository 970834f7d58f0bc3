#include "engine/change/brake.h"

#include <gtest/gtest.h>

namespace repl::change {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr MonotonicTime start{std::chrono::hours(1)};
constexpr Duration window = milliseconds(limits::delete_window_ms);

Brake brake(uint64_t entries, uint64_t percent) {
  return Brake(DeleteLimits{.on = true, .entries = entries, .percent = percent});
}

TEST(Brake, BothLimitsMustBeExceeded) {
  Brake b = brake(100, 50);
  b.saw(1000, start);
  EXPECT_TRUE(b.allows(500, start)) << "half is not more than half";
  EXPECT_FALSE(b.allows(499, start));
  Brake small = brake(100, 50);
  small.saw(101, start);
  EXPECT_TRUE(small.allows(1, start)) << "a hundred are not more than a hundred";
  EXPECT_FALSE(small.allows(0, start));
}

TEST(Brake, WithTheDefaultsAnOrdinaryDirectoryMayGo) {
  Brake b{DeleteLimits{}};
  b.saw(1'000'000, start);
  EXPECT_TRUE(b.allows(600'000, start));
  EXPECT_FALSE(b.allows(499'999, start));
  Brake small{DeleteLimits{}};
  small.saw(1000, start);
  EXPECT_TRUE(small.allows(0, start));
}

TEST(Brake, OffAllowsEverything) {
  Brake b{DeleteLimits{.on = false}};
  b.saw(1'000'000, start);
  EXPECT_TRUE(b.allows(0, start));
}

TEST(Brake, NoShareMeansTheCountAlone) {
  Brake b = brake(10, 0);
  b.saw(1000, start);
  EXPECT_TRUE(b.allows(990, start));
  EXPECT_FALSE(b.allows(989, start));
}

// Slower than any cut: what went before counts.
TEST(Brake, ManySmallRemovalsAreOne) {
  Brake b = brake(100, 50);
  uint64_t entries = 1000;
  MonotonicTime now = start;
  while (entries > 500) {
    b.saw(entries, now);
    ASSERT_TRUE(b.allows(entries - 10, now)) << entries;
    entries -= 10;
    now += seconds(10);
  }
  b.saw(entries, now);
  EXPECT_FALSE(b.allows(entries - 10, now));
}

TEST(Brake, WhatWentLongAgoDoesNotCount) {
  Brake b = brake(100, 50);
  b.saw(1000, start);
  b.saw(510, start + minutes(1));
  EXPECT_FALSE(b.allows(400, start + window)) << "within the window of a thousand";
  const MonotonicTime later = start + window + minutes(2);
  b.saw(510, later);
  EXPECT_TRUE(b.allows(400, later));
}

TEST(Brake, NamesThatComeAndGoAreNoDelete) {
  Brake b = brake(10, 50);
  MonotonicTime now = start;
  for (int i = 0; i < 10'000; ++i) {
    b.saw(20 + i % 2, now);
    ASSERT_TRUE(b.allows(20, now));
    now += milliseconds(5);
  }
}

TEST(Brake, WhatIsForgottenDoesNotCount) {
  Brake b = brake(100, 50);
  b.saw(1000, start);
  b.forget();
  b.saw(400, start);
  EXPECT_TRUE(b.allows(300, start));
}

}  // namespace
}  // namespace repl::change
