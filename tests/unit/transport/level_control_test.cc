#include "transport/level_control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

namespace repl::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A connection whose I/O thread packs and sends one after the other while the carrier drains what
// was written: what is slower decides, the other has time left.
struct Line {
  double text_bytes_per_s = 400e6;  // packed at level 1, on a processor of its own
  double wire_bytes_per_s = 1e12;
  double ratio_at_1 = 4;  // each gear above packs half as much again
  double harder = 1;      // than was expected, from level 3 on
  double others = 0;      // the I/O thread's share for other connections
  double owner_bytes_per_s = 1e12;
  double compressible = 1;
  LevelControl control;
  MonotonicTime now = MonotonicTime{} + seconds(100);
  std::vector<int> levels;  // each time that it changed

  [[nodiscard]] double ratio(const Compression& compression) const {
    constexpr std::array better = {0.0, 1.0, 1.3, 1.5, 1.7, 1.8};
    static_assert(better.size() == gears.size());
    return compression.level == 0 ? 1 : ratio_at_1 * better.at(gear_of(compression));
  }
  // Plain bytes per second.
  [[nodiscard]] double rate_at(const Compression& compression) const {
    return std::min(
        {packed_at(compression), wire_bytes_per_s * ratio(compression), owner_bytes_per_s});
  }
  [[nodiscard]] double packed_at(const Compression& compression) const {
    const double cost = gears.at(gear_of(compression)).cost;
    return text_bytes_per_s * (1 - others) / (compression.level >= 3 ? harder * cost : cost);
  }
  [[nodiscard]] static size_t gear_of(const Compression& compression) {
    const auto* gear = std::ranges::find(gears, compression, &Gear::compression);
    return static_cast<size_t>(gear - gears.begin());
  }
  int run(double for_seconds) {
    for (double passed = 0; passed < for_seconds; passed += 0.05) {
      const Compression compression = control.compression();
      const double rate = rate_at(compression);
      const double packing = rate / packed_at(compression);
      const bool owner_slow = rate == owner_bytes_per_s;
      const auto time = [](double share) {
        return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(share * 0.05));
      };
      now += milliseconds(50);
      const auto bytes = static_cast<size_t>(rate * 0.05);
      control.add({.work = {.plain_bytes = bytes,
                            .compressible_bytes = static_cast<size_t>(rate * 0.05 * compressible),
                            .wire_bytes = bytes,
                            .packing = time(packing),
                            .waiting = time(owner_slow ? 0 : 1 - packing)},
                   .elapsed = milliseconds(50),
                   .processor = time(std::min(1.0, packing * (1 - others) + others))},
                  now);
      if (control.compression() != compression) levels.push_back(control.compression().level);
    }
    return control.compression().level;
  }
};

double mbit(double rate) { return rate * 125'000; }

TEST(LevelControl, CompressesAsHardAsTheLinkIsSlow) {
  Line slow{.wire_bytes_per_s = mbit(10)};
  EXPECT_EQ(slow.run(5), 9);
  EXPECT_EQ(slow.levels, std::vector<int>{9}) << "at once, and only once";
  EXPECT_EQ(slow.control.bottleneck(), Bottleneck::link);
  EXPECT_TRUE(slow.control.compression().long_distance);
  Line middle{.wire_bytes_per_s = mbit(200)};
  EXPECT_EQ(middle.run(60), 3);
  EXPECT_EQ(middle.levels, std::vector<int>{3});
}

TEST(LevelControl, FollowsALinkThatChanges) {
  Line line{.wire_bytes_per_s = mbit(10)};
  EXPECT_EQ(line.run(5), 9);
  line.wire_bytes_per_s = mbit(10'000);
  EXPECT_EQ(line.run(30), 0);
  EXPECT_EQ(line.levels, (std::vector{9, 6, 3, 1, 1, 0})) << "one gear at a time";
  line.wire_bytes_per_s = mbit(10);
  EXPECT_EQ(line.run(5), 9);
}

TEST(LevelControl, AFastProcessorOnAFastLinkNeedsNoCompression) {
  Line line{.text_bytes_per_s = 300e6, .wire_bytes_per_s = 1.2e9};
  EXPECT_EQ(line.run(5), 0);
  EXPECT_GT(line.rate_at(gears[0].compression), line.rate_at(gears[1].compression));
}

TEST(LevelControl, TakesBackWhatDoesNotPayAndSeldomTriesAgain) {
  // Level 1 keeps the processor busy, and without compression the link is too small.
  Line line{.text_bytes_per_s = 300e6, .wire_bytes_per_s = mbit(1'000)};
  line.run(600);
  EXPECT_EQ(line.control.compression().level, 1);
  ASSERT_GE(line.levels.size(), 2u);
  EXPECT_EQ(line.levels[0], 0);
  EXPECT_EQ(line.levels[1], 1);
  EXPECT_LE(line.levels.size(), 26u) << "a minute apart in the end";
}

TEST(LevelControl, DoesNotGoBackAndForthBetweenTwoThatAreAlike) {
  // Level 3 is all that the processor can do, and level 1 lets hardly less through.
  Line line{.wire_bytes_per_s = 19.2e6, .harder = 2};
  line.run(600);
  EXPECT_NE(std::ranges::find(line.levels, 3), line.levels.end()) << "this test shows nothing";
  EXPECT_LE(line.levels.size(), 20u);
}

TEST(LevelControl, DoesNotRaiseWhereTheProcessorIsTakenByOthers) {
  Line line{.wire_bytes_per_s = mbit(50), .others = 0.7};
  EXPECT_EQ(line.run(20), 1);
  Line alone{.wire_bytes_per_s = mbit(50)};
  EXPECT_GT(alone.run(20), 1);
}

TEST(LevelControl, ASlowOwnerAndIncompressibleContentsSayNothing) {
  Line owner{.wire_bytes_per_s = mbit(10), .owner_bytes_per_s = 1e6};
  EXPECT_EQ(owner.run(20), 1);
  EXPECT_EQ(owner.control.bottleneck(), Bottleneck::none);
  Line noise{.wire_bytes_per_s = mbit(10), .compressible = 0.1};
  EXPECT_EQ(noise.run(20), 1);
  EXPECT_EQ(noise.control.bottleneck(), Bottleneck::link);
}

TEST(LevelControl, AShortBurstChangesNothing) {
  Line line{.wire_bytes_per_s = mbit(10)};
  EXPECT_EQ(line.run(0.1), 1);
}

TEST(LevelControl, ContentThatPacksWorseIsNotTheGearsFault) {
  Line line{.wire_bytes_per_s = mbit(10)};
  EXPECT_EQ(line.run(0.2), 9);
  line.ratio_at_1 = 1;
  EXPECT_EQ(line.run(10), 9);
}

TEST(LevelControl, RestBeginsAnew) {
  Line line{.wire_bytes_per_s = mbit(10)};
  EXPECT_EQ(line.run(5), 9);
  line.control.rest();
  EXPECT_EQ(line.control.compression(), gears[gear_initial].compression);
  EXPECT_EQ(line.control.bottleneck(), Bottleneck::none);
}

}  // namespace
}  // namespace repl::transport
