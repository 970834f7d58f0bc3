// Large contents that are under way while later cuts go on: what may overtake them, what may not.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "engine/base/limits.h"
#include "tests/unit/send/sender_pair.h"

namespace repl::send {
namespace {

// A replica in sync, and 8 MiB under way to it.
struct UnderWay : ::testing::Test {
  static constexpr size_t large_bytes = 8 << 20;
  Pair pair;
  std::mt19937_64 rng{5};
  std::string bytes = random_bytes(rng, large_bytes);

  void SetUp() override { begin(false); }
  void begin(bool strict) {
    for (const char* name : {"old", "other", "log", "edited"})
      pair.tree.write(at_root(name), random_bytes(rng, 2000));
    pair.tree.mkdir(root_dir, "dir");
    pair.first_sync();
    pair.start(PlanMode::in_sync, {}, false, strict);
    pair.tree.touched.clear();
    pair.tree.destroyed.clear();
    ++pair.tree.now.value;
    pair.tree.write(at_root("large"), bytes, false);
    cut();
    staged(1 << 20);
  }
  void cut() {
    pair.sender->on_cut(pair.batch());
    ++pair.tree.now.value;
  }
  // Until so much of it is on the replica.
  void staged(uint64_t bytes_at_least) {
    pair.run_until([&] { return pair.receiver.staged_bytes >= bytes_at_least; });
    ASSERT_GE(pair.receiver.staged_bytes, bytes_at_least);
    ASSERT_FALSE(has("large"));
  }
  // What changed is named by the log, as after a scan or for a peer that is behind.
  void scanned() {
    pair.tree.touched.clear();
    auto scan = std::make_shared<CutBatch>();
    scan->cut = pair.tree.now;
    ++pair.tree.now.value;
    scan->by_log = true;
    pair.sender->on_cut(scan);
  }
  // As long as there is anything to tell but the large content.
  void small_ones() {
    const uint64_t before = pair.receiver.staged_bytes;
    pair.run_until([&] { return pair.receiver.staged_bytes > before + (1 << 20); });
    ASSERT_FALSE(has("large")) << "complete too early for this test";
  }
  bool has(const std::string& name) { return pair.receiver.index->contains(at_root(name)); }
  Digest theirs(const std::string& name) {
    const auto entry = pair.receiver.index->get(at_root(name));
    return entry ? entry->attr.content : Digest{};
  }
  Digest ours(const std::string& name) { return pair.tree.index->get(at_root(name))->attr.content; }
  void all_equal() {
    pair.settle();
    if (pair.sender->prove()) pair.settle();
    pair.expect_equal();
    EXPECT_FALSE(pair.receiver.loose);
    EXPECT_FALSE(pair.sender->status().loose_since.is_set());
    EXPECT_FALSE(pair.sender->status().owes);
    EXPECT_TRUE(pair.sender->status().in_sync);
    EXPECT_EQ(pair.sender->status().mismatches, 0u);
  }
};

TEST_F(UnderWay, NewNamesAndNewerVersionsOvertake) {
  const CutNumber before = pair.tree.now;
  pair.tree.write(at_root("new"), "new");
  pair.tree.write(at_root("edited"), random_bytes(rng, 2000), true, true);
  pair.tree.mkdir(root_dir, "made");
  cut();
  small_ones();
  EXPECT_TRUE(has("new") && has("made"));
  EXPECT_EQ(theirs("edited"), ours("edited"));
  EXPECT_TRUE(pair.receiver.loose);
  EXPECT_EQ(pair.sender->status().loose_since, CutNumber{before.value - 1});
  EXPECT_TRUE(pair.sender->status().owes) << "whoever waits for everything waits for it";
  EXPECT_FALSE(pair.sender->status().in_sync);
  all_equal();
  EXPECT_EQ(pair.receiver.stages_begun, 1u);
}

TEST_F(UnderWay, ALoneLargeFileIsAnExactCut) {
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.receiver.cuts, 2u) << "the first sync and that cut";
  EXPECT_TRUE(pair.receiver.ordered);
}

TEST_F(UnderWay, WhatDestroysAVersionWaits) {
  const Digest other = theirs("other");
  const Digest log = theirs("log");
  pair.tree.remove(at_root("old"));
  pair.tree.write(at_root("other"), random_bytes(rng, 2000));
  pair.tree.write(at_root("log"), "truncated", true, true);
  const DirId dir = pair.tree.index->get(at_root("dir"))->attr.dir;
  pair.tree.remove(at_root("dir"));
  cut();
  pair.tree.write(at_root("later"), "a creation that came after them");
  cut();
  small_ones();
  EXPECT_TRUE(has("later"));
  EXPECT_TRUE(has("old"));
  EXPECT_TRUE(pair.receiver.index->summary(dir));
  EXPECT_EQ(theirs("other"), other);
  EXPECT_EQ(theirs("log"), log);
  EXPECT_EQ(pair.sender->status().held_back, 4u);
  all_equal();
  EXPECT_FALSE(has("old"));
}

// The removal and the large file in one cut, as git gc may come: the cut ends without both.
TEST_F(UnderWay, WhatDestroysWaitsForALargeFileOfItsOwnCut) {
  pair.settle();
  pair.tree.remove(at_root("old"));
  pair.tree.write(at_root("pack"), random_bytes(rng, large_bytes), false);
  cut();
  pair.tree.write(at_root("later"), "later");
  cut();
  pair.run_until([&] { return has("later"); });
  EXPECT_TRUE(has("old"));
  EXPECT_FALSE(has("pack"));
  all_equal();
}

TEST_F(UnderWay, WhatIsBelowADirectoryThatWaitsWaitsToo) {
  pair.tree.remove(at_root("old"));
  cut();
  small_ones();
  const DirId made = pair.tree.mkdir(root_dir, "old");  // where a file was
  pair.tree.write(Key{made, "child"}, "child");
  cut();
  pair.tree.write(Key{made, "another"}, "another");
  cut();
  small_ones();
  EXPECT_FALSE(pair.receiver.index->summary(made));
  all_equal();
  EXPECT_TRUE(pair.receiver.index->contains(Key{made, "another"}));
}

TEST_F(UnderWay, ADirectoryThatMovedOnAfterItWaitedLeavesNothingBehind) {
  pair.tree.remove(at_root("old"));
  const DirId made = pair.tree.mkdir(root_dir, "old");
  cut();
  small_ones();
  pair.tree.rename(at_root("old"), at_root("elsewhere"));
  pair.tree.write(Key{made, "child"}, "child");
  cut();
  all_equal();
  EXPECT_FALSE(has("old"));
}

TEST_F(UnderWay, AMoveIsNoRemoval) {
  pair.tree.rename(at_root("old"), at_root("moved"));
  auto batch = pair.batch();
  for (CutItem& item : batch->items) {
    if (!item.removed) item.copy_from = at_root("old");
  }
  pair.sender->on_cut(std::move(batch));
  ++pair.tree.now.value;
  small_ones();
  EXPECT_TRUE(has("moved"));
  EXPECT_FALSE(has("old"));
  all_equal();
}

TEST_F(UnderWay, AFileThatIsRenamedGoesOn) {
  pair.tree.rename(at_root("large"), at_root("final"));
  cut();
  small_ones();
  all_equal();
  EXPECT_EQ(pair.receiver.stages_begun, 1u);
  EXPECT_LE(pair.receiver.staged_bytes, large_bytes);
}

TEST_F(UnderWay, AFileThatChangesIsReadAgain) {
  bytes[100] ^= 1;
  bytes += "tail";
  pair.tree.write(at_root("large"), bytes, false, true);
  cut();
  all_equal();
  EXPECT_EQ(theirs("large"), digest_of_blocks(blocks_of(bytes)));
  // What was read of it may be of two moments: nobody gets that, and it is read again, whole, for
  // the peer has nothing yet from which it could differ.
  EXPECT_LE(pair.receiver.staged_bytes, 2 * large_bytes + 3 * limits::block_bytes);
}

// Its digest may be known from another peer that has it already.
TEST_F(UnderWay, NothingIsCopiedFromWhatIsNotThereYet) {
  const Digest digest = digest_of_blocks(blocks_of(bytes));
  pair.tree.write(at_root("copy"), bytes);
  pair.tree.write(at_root("large"), random_bytes(rng, 3000), true, true);
  const auto batch = pair.batch();
  CutBatch told = *batch;
  for (CutItem& item : told.items) {
    if (item.key != at_root("large")) continue;
    item.base_content = digest;
    item.base_size = bytes.size();
  }
  pair.sender->on_cut(std::make_shared<CutBatch>(std::move(told)));
  ++pair.tree.now.value;
  all_equal();
  EXPECT_EQ(pair.sender->counters().copied, 0u);
  EXPECT_EQ(pair.sender->status().refused, 0u);
}

TEST_F(UnderWay, AFileThatIsRemovedIsGivenUp) {
  pair.tree.remove(at_root("large"));
  cut();
  all_equal();
  EXPECT_LT(pair.receiver.staged_bytes, large_bytes);
}

// The lane had no room yet: the peer has not heard of it, and would take its end for a breach.
TEST_F(UnderWay, AFileThatIsRemovedBeforeItsFirstByteIsNotTakenBack) {
  pair.settle();
  pair.tree.write(at_root("another"), random_bytes(rng, large_bytes), false);
  pair.outbox.background.assign(4, Message{Bye{}});
  cut();
  while (pair.sender->pump()) {
  }
  pair.tree.remove(at_root("another"));
  cut();
  while (pair.sender->pump()) {
  }
  pair.outbox.background.clear();
  while (pair.sender->pump()) {
  }
  const auto aborts = [](const Message& m) { return std::holds_alternative<StageAbort>(m); };
  EXPECT_TRUE(std::ranges::none_of(pair.outbox.background, aborts));
  pair.settle();
  EXPECT_FALSE(has("another"));
}

// The peer says that it has nothing there, which is as it should be; no record tells of the
// removal.
TEST_F(UnderWay, AFileWhoseRemovalAMergedCutNeedNotTellIsGivenUp) {
  pair.tree.remove(at_root("large"));
  pair.tree.write(at_root("found by a scan"), "x");
  scanned();
  all_equal();
  EXPECT_FALSE(has("large"));
}

TEST_F(UnderWay, AnotherFileInItsPlaceIsSentInstead) {
  pair.tree.write(at_root("large"), "small now", true, false);
  cut();
  all_equal();
  EXPECT_EQ(theirs("large"), hash_bytes("small now"));
  EXPECT_LT(pair.receiver.staged_bytes, large_bytes);
}

TEST_F(UnderWay, OtherNamesOfItFollow) {
  pair.tree.link(at_root("large"), at_root("name"));
  cut();
  small_ones();
  EXPECT_FALSE(has("name"));
  all_equal();
  EXPECT_EQ(pair.receiver.stages_begun, 1u);
}

// It comes first in its cut, when nobody has said yet that what is under way has become one of two.
TEST_F(UnderWay, ANewNameThatComesBeforeItFollows) {
  pair.tree.link(at_root("large"), at_root("a name"));
  cut();
  small_ones();
  EXPECT_FALSE(has("a name"));
  all_equal();
  EXPECT_EQ(pair.receiver.stages_begun, 1u);
}

TEST_F(UnderWay, OtherNamesOfItOutliveTheFirst) {
  pair.tree.link(at_root("large"), at_root("name"));
  cut();
  small_ones();
  Attributes attr = pair.tree.index->get(at_root("name"))->attr;
  attr.link = {};
  attr.link_names = 1;
  pair.tree.remove(at_root("large"));
  pair.tree.put(at_root("name"), attr, pair.tree.source.files[at_root("name")]->inode);
  cut();
  all_equal();
}

TEST_F(UnderWay, AMediumFileDoesNotWaitForAHugeOne) {
  pair.settle();
  const std::string huge = random_bytes(rng, limits::huge_bytes_min);
  pair.tree.write(at_root("huge"), huge, false);
  cut();
  const uint64_t before = pair.receiver.staged_bytes;
  pair.run_until([&] { return pair.receiver.staged_bytes > before + (4 << 20); });
  pair.tree.write(at_root("medium"), random_bytes(rng, 3 << 20), false);
  cut();
  pair.run_until([&] { return has("medium") || has("huge"); });
  EXPECT_TRUE(has("medium"));
  EXPECT_FALSE(has("huge"));
  all_equal();
}

// A comparison while it is under way, as a peer that lost something asks for.
TEST_F(UnderWay, AComparisonFindsWhatWaits) {
  pair.tree.remove(at_root("old"));
  cut();
  small_ones();
  pair.tree.write(at_root("found by a scan"), "x");
  pair.tree.remove(at_root("other"));
  scanned();
  pair.run_until([&] { return has("found by a scan") || has("large"); });
  EXPECT_TRUE(has("found by a scan") && has("old") && has("other"));
  EXPECT_FALSE(has("large"));
  all_equal();
  EXPECT_EQ(pair.receiver.stages_begun, 1u);
}

TEST_F(UnderWay, WhatWaitsIsReleasedAlthoughTheFileIsHot) {
  pair.tree.remove(at_root("old"));
  cut();
  for (int i = 0; i < 200 && has("old"); ++i) {
    bytes[static_cast<size_t>(i) * 1000] ^= 1;
    pair.tree.write(at_root("large"), bytes, false, true);
    cut();
    const uint64_t before = pair.receiver.staged_bytes;
    pair.run_until([&] { return pair.receiver.staged_bytes > before + (256 << 10); });
  }
  EXPECT_FALSE(has("old"));
  all_equal();
}

TEST_F(UnderWay, NoMoreThanSoMuchWaits) {
  for (uint64_t n = 0; n <= limits::held_back_keys_max; n += limits::cut_keys_max) {
    auto batch = std::make_shared<CutBatch>();
    batch->cut = pair.tree.now;
    ++pair.tree.now.value;
    for (uint64_t i = 0; i < limits::cut_keys_max; ++i) {
      batch->items.push_back(CutItem{.key = at_root("gone" + std::to_string(n + i)),
                                     .removed = true,
                                     .destroys = true,
                                     .attr = {},
                                     .bytes = {},
                                     .copy_from = {}});
    }
    pair.sender->on_cut(std::move(batch));
    const uint64_t until = pair.receiver.staged_bytes + (1 << 20);
    pair.run_until([&] {
      return pair.sender->status().cuts_pending == 0 || pair.receiver.staged_bytes >= until;
    });
  }
  pair.tree.write(at_root("new"), "new");
  cut();
  staged(large_bytes - (1 << 20));
  EXPECT_FALSE(has("new")) << "it waits for what the last cut waits for";
  all_equal();
}

// Likewise in one merged cut: what it would keep waiting goes into it at once, and it ends whole.
TEST(Lanes, NoMoreThanSoMuchWaitsOfAMergedCut) {
  Pair pair;
  std::mt19937_64 rng{5};
  const DirId dir = pair.tree.mkdir(root_dir, "dir");
  const size_t count = limits::held_back_keys_max + limits::held_back_keys_max / 10;
  pair.first_sync();
  // Both have them.
  for (size_t n = 0; n < count; ++n) {
    const Key key{dir, std::to_string(n)};
    pair.tree.put(key, Attributes{.type = FileType::symlink, .target = "x"});
    pair.receiver.index->put(key, *pair.tree.index->get(key));
  }
  const CutNumber since = pair.tree.now;
  ++pair.tree.now.value;
  for (size_t n = 0; n < count; ++n) pair.tree.remove({dir, std::to_string(n)});
  pair.tree.write(at_root("large"), random_bytes(rng, 8 << 20), false);
  pair.start(PlanMode::changes, since);
  pair.run_until([&] {
    EXPECT_LE(pair.sender->status().held_back, limits::held_back_keys_max + 1);
    return pair.receiver.staged_bytes > (1 << 20) || ::testing::Test::HasFailure();
  });
  ++pair.tree.now.value;
  pair.tree.touched.clear();
  pair.tree.write(at_root("new"), "new");
  pair.sender->on_cut(pair.batch());
  pair.run_until([&] { return pair.receiver.index->contains(at_root("new")); });
  EXPECT_TRUE(pair.receiver.index->contains(at_root("large")));
  pair.settle();
  pair.expect_equal();
}

// Nor are more large contents remembered than may be under way.
TEST(Lanes, NoMoreThanSoManyLargeContentsOfAMergedCut) {
  Pair pair;
  pair.first_sync();
  const CutNumber since = pair.tree.now;
  ++pair.tree.now.value;
  const Key first = at_root("0");
  pair.tree.write(first, std::string(limits::inline_bytes_max + 1, 'x'), false);
  const Entry entry = *pair.tree.index->get(first);
  for (size_t n = 1; n < limits::large_contents_max + 1000; ++n) {
    const Key key = at_root(std::to_string(n));
    pair.tree.source.files[key] = pair.tree.source.files[first];
    pair.tree.put(key, entry.attr, entry.local.inode);
  }
  pair.start(PlanMode::changes, since);
  for (int cuts = 1; cuts < 20; ++cuts) {
    pair.run_until([&] { return pair.receiver.staged_bytes > 300'000ull * cuts; });
    EXPECT_LE(pair.sender->status().large_files, limits::large_contents_max + 1);
  }
  EXPECT_GT(pair.sender->status().large_files, limits::large_contents_max - 2);
}

struct Strict : UnderWay {
  void SetUp() override { begin(true); }
};
TEST_F(Strict, LaterCutsWait) {
  pair.tree.write(at_root("new"), "new");
  cut();
  small_ones();
  EXPECT_FALSE(has("new"));
  pair.run_until([&] { return has("new") || has("large"); });
  EXPECT_TRUE(has("large"));
  all_equal();
}

// Cuts at random moments of what is under way; every rule of the receiver is checked on the way.
TEST(Lanes, RandomCutsWhileContentsAreUnderWay) {
  const char* wanted = std::getenv("REPL_SEEDS");
  const uint64_t seeds = wanted != nullptr ? std::stoull(wanted) : 12;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    std::mt19937_64 rng(seed);
    Pair pair;
    // What waits is released as the index has it: what was below a directory that has gone since
    // may come without it. The receiver says so, and it is found to be gone.
    pair.receiver.refuse_orphans = true;
    pair.random_ops(rng, 40);
    pair.first_sync();
    pair.tree.touched.clear();
    pair.tree.destroyed.clear();
    for (int round = 0; round < 30; ++round) {
      ++pair.tree.now.value;
      pair.random_ops(rng, 1 + rng() % 6);
      if (rng() % 3 == 0) {
        pair.tree.write(at_root("n" + std::to_string(100 + rng() % 3)),
                        random_bytes(rng, (2 << 20) + rng() % 1000), false, rng() % 2 == 0);
      }
      pair.sender->on_cut(pair.batch());
      uint64_t turns = rng() % 40;
      pair.run_until([&] { return turns-- == 0; });
      ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << " round " << round;
    }
    pair.settle();
    for (int i = 0; i < 5 && pair.sender->prove(); ++i) pair.settle();
    pair.expect_equal();
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace repl::send
