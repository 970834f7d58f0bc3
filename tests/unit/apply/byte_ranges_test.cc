#include "engine/apply/byte_ranges.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "engine/base/limits.h"

namespace repl::apply {
namespace {

std::string shown(const ByteRanges& ranges, uint64_t end = UINT64_MAX) {
  std::string out;
  const Status done = ranges.each(end, [&](uint64_t offset, uint64_t length) -> Status {
    out += std::to_string(offset) + "+" + std::to_string(length) + " ";
    return {};
  });
  EXPECT_TRUE(done);
  return out;
}

TEST(ByteRanges, WhatTouchesIsOne) {
  ByteRanges ranges;
  ranges.add(10, 5);
  ranges.add(20, 5);
  ranges.add(30, 0);
  EXPECT_EQ(shown(ranges), "10+5 20+5 ");
  ranges.add(15, 5);
  EXPECT_EQ(shown(ranges), "10+15 ");
  ranges.add(0, 3);
  ranges.add(40, 1);
  ranges.add(2, 39);
  EXPECT_EQ(shown(ranges), "0+41 ");
  EXPECT_EQ(ranges.count(), 1u);
}

TEST(ByteRanges, NothingBehindTheEnd) {
  ByteRanges ranges;
  ranges.add(0, 10);
  ranges.add(20, 10);
  ranges.add(40, 10);
  EXPECT_EQ(shown(ranges, 25), "0+10 20+5 ");
  EXPECT_EQ(shown(ranges, 20), "0+10 ");
  EXPECT_FALSE(ranges.each(
      100, [](uint64_t, uint64_t) -> Status { return fail(ErrorCode::no_space, "full"); }));
}

TEST(ByteRanges, AreTheBytesThatWereAdded) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::string model(300, '.');
    ByteRanges all;
    ByteRanges part;
    for (int n = 0; n < 12; ++n) {
      const size_t offset = random() % 280;
      const size_t length = random() % 20;
      model.replace(offset, length, length, 'x');
      (n % 3 == 0 ? part : all).add(offset, length);
    }
    all.add(part);
    std::string got(300, '.');
    size_t count = 0;
    ASSERT_TRUE(all.each(300, [&](uint64_t offset, uint64_t length) -> Status {
      got.replace(offset, length, length, 'x');
      ++count;
      return {};
    }));
    ASSERT_EQ(got, model);
    ASSERT_EQ(count, all.count());
  }
}

}  // namespace
}  // namespace repl::apply
