#include "engine/change/change_set.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/model/hint_bits.h"

namespace repl::change {
namespace {

Key key(const std::string& name) { return Key{.dir = root_dir, .name = name}; }
bool has(const std::vector<Dirty>& taken, const Key& key) {
  return std::ranges::find(taken, key, &Dirty::key) != taken.end();
}
MonotonicTime at_ms(int ms) { return MonotonicTime(std::chrono::milliseconds(ms)); }

TEST(ChangeSet, KeepsOneChangePerKeyWithItsFirstTimeAndAllBits) {
  ChangeSet set(10);
  set.mark(key("a"), hint_modified, at_ms(1));
  set.mark(key("a"), hint_closed, at_ms(5));
  EXPECT_EQ(set.size(), 1U);
  EXPECT_EQ(set.oldest(), at_ms(1));
  const std::vector<Dirty> taken = set.take(10);
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].bits, hint_modified | hint_closed);
  EXPECT_TRUE(set.empty());
}

TEST(ChangeSet, TakesNoMoreThanAsked) {
  ChangeSet set(10);
  for (int i = 0; i < 5; ++i) set.mark(key(std::to_string(i)), 0, at_ms(i));
  EXPECT_EQ(set.take(3).size(), 3U);
  EXPECT_EQ(set.size(), 2U);
}

TEST(ChangeSet, OfMoreThanAskedALoneChangeIsTakenBeforeAStorm) {
  ChangeSet set(100'000);
  const Key lone{.dir = DirId{7}, .name = "lone"};
  for (uint64_t i = 0; i < 40'000; ++i) {
    set.mark(Key{.dir = DirId{100 + i / 1000}, .name = std::to_string(i)}, 0, at_ms(1));
    if (i == 20'000) set.mark(lone, hint_closed, at_ms(2));
  }
  const std::vector<Dirty> taken = set.take(1000);
  EXPECT_EQ(taken.size(), 1000U);
  EXPECT_TRUE(has(taken, lone));
  EXPECT_GE(std::ranges::count_if(taken, [](const Dirty& d) { return d.bits == 0; }), 500)
      << "the storm goes on";
  size_t all = taken.size();
  while (!set.empty()) all += set.take(1000).size();
  EXPECT_EQ(all, 40'001U) << "each key once";
}

TEST(ChangeSet, ALoneChangeIsOneAgainAfterItWasTaken) {
  ChangeSet set(100'000);
  const Key lone{.dir = DirId{7}, .name = "lone"};
  for (int i = 0; i < 40'000; ++i) set.mark(key(std::to_string(i)), 0, at_ms(1));
  for (int times = 0; times < 30; ++times) {
    set.mark(lone, 0, at_ms(2));
    ASSERT_TRUE(has(set.take(100), lone)) << times;
  }
}

TEST(ChangeSet, PastItsBoundItForgetsKeysAndAsksForAScan) {
  ChangeSet set(3);
  for (int i = 0; i < 4; ++i) set.mark(key(std::to_string(i)), 0, at_ms(i));
  EXPECT_EQ(set.size(), 0U);
  EXPECT_FALSE(set.empty());
  set.mark(key("later"), 0, at_ms(9));
  EXPECT_EQ(set.size(), 0U) << "the scan covers it";
  const ChangeSet::Rescan rescan = set.take_rescan();
  EXPECT_TRUE(rescan.everything);
  EXPECT_TRUE(rescan.below.empty());
  EXPECT_TRUE(set.empty());
}

TEST(ChangeSet, SubtreesAreScannedAlone) {
  ChangeSet set(3);
  set.mark_rescan(DirId{7}, "moved in");
  set.mark(key("a"), 0, at_ms(1));
  EXPECT_EQ(set.size(), 1U);
  const ChangeSet::Rescan rescan = set.take_rescan();
  EXPECT_FALSE(rescan.everything);
  EXPECT_EQ(rescan.below, std::vector<DirId>{DirId{7}});
}

TEST(ChangeSet, AllOpenOnlyWhileEveryKeyIsModifiedAndNotClosed) {
  ChangeSet set(10);
  set.mark(key("a"), hint_modified | hint_created, at_ms(1));
  EXPECT_TRUE(set.all_open());
  set.mark(key("b"), hint_attributes, at_ms(1));
  EXPECT_FALSE(set.all_open());
  static_cast<void>(set.take(10));
  set.mark(key("a"), hint_modified, at_ms(1));
  set.mark(key("a"), hint_closed, at_ms(2));
  EXPECT_FALSE(set.all_open());
}

}  // namespace
}  // namespace repl::change
