#include "engine/send/sender.h"

#include <gtest/gtest.h>

#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "tests/unit/send/sender_pair.h"

namespace repl::send {
namespace {

TEST(Sender, FirstSyncOfRandomTrees) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    std::mt19937_64 rng(seed);
    Pair pair;
    pair.random_ops(rng, 80);
    pair.first_sync();
    EXPECT_EQ(pair.receiver.asks + pair.receiver.lists, 0u);
    EXPECT_TRUE(pair.receiver.ordered);
    EXPECT_EQ(pair.dirty.size(), 0u);
    EXPECT_TRUE(pair.sender->status().in_sync);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
  }
}

TEST(Sender, ChangesAfterRandomOperations) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    std::mt19937_64 rng(seed);
    Pair pair;
    pair.random_ops(rng, 60);
    pair.first_sync();
    for (int round = 0; round < 3; ++round) {
      const CutNumber since = pair.tree.now;
      ++pair.tree.now.value;
      pair.random_ops(rng, 25);
      pair.start(PlanMode::changes, since);
      pair.settle();
      pair.expect_equal();
      EXPECT_EQ(pair.sender->status().mismatches, 0u);
      ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << " round " << round;
    }
  }
}

TEST(Sender, CompareOfDivergedTrees) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    std::mt19937_64 rng(seed);
    Pair pair;
    pair.random_ops(rng, 60);
    pair.first_sync();
    ++pair.tree.now.value;
    pair.random_ops(rng, seed % 30);
    // The peer went its own way: files and directories that are only there.
    for (int i = 0; i < 3; ++i) {
      const DirId own{900'000 + rng() % 1000};
      const Key key{root_dir, "n" + std::to_string(rng() % 12)};
      pair.receiver.index->put(key, Entry{.attr = pair.tree.dir_attr(own), .cut = CutNumber{1}});
      pair.receiver.index->put(Key{own, "n1"},
                               Entry{.attr = {.type = FileType::fifo, .mode = 0600}});
    }
    pair.start(PlanMode::compare);
    pair.settle();
    pair.expect_equal();
    EXPECT_EQ(pair.sender->status().mismatches, 0u);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
  }
}

TEST(Sender, EqualTreesCostOneQuestion) {
  std::mt19937_64 rng(1);
  Pair pair;
  pair.random_ops(rng, 200);
  pair.first_sync();
  pair.receiver.puts = 0;
  pair.start(PlanMode::compare);
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.receiver.asks, 1u);
  EXPECT_EQ(pair.receiver.lists, 0u);
  EXPECT_EQ(pair.receiver.puts, 0u);
}

// Whoever waits for the position that the peer itself named need not wait for another cut.
TEST(Sender, WhatThePeerNamedIsAcknowledgedFromTheStart) {
  std::mt19937_64 rng(1);
  Pair pair;
  pair.random_ops(rng, 20);
  pair.first_sync();
  const CutNumber named = pair.tree.now;
  pair.start(PlanMode::in_sync);
  for (const CutNumber acked : pair.sender->status().acked) EXPECT_EQ(acked, named);
  ++pair.tree.now.value;
  pair.random_ops(rng, 5);
  pair.start(PlanMode::changes, named);
  for (const CutNumber acked : pair.sender->status().acked) EXPECT_EQ(acked, named);
  pair.settle();
  pair.expect_equal();
}

// One file in one of many directories: what is equal is not descended, and nothing else is sent.
TEST(Sender, NoCandidateStorm) {
  Pair pair;
  std::mt19937_64 rng(1);
  DirId deep;
  for (int d = 0; d < 50; ++d) {
    const DirId dir = pair.tree.mkdir(root_dir, "d" + std::to_string(d));
    deep = pair.tree.mkdir(dir, "sub");
    for (int f = 0; f < 20; ++f) pair.tree.write({deep, "f" + std::to_string(f)}, "x");
  }
  pair.first_sync();
  pair.receiver.puts = 0;
  ++pair.tree.now.value;
  pair.tree.write({deep, "f7"}, "changed");
  pair.start(PlanMode::compare);
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.receiver.lists, 3u);
  EXPECT_EQ(pair.receiver.puts, 1u);
}

TEST(Sender, EqualContentUnderOtherIdsIsAdoptedNotSent) {
  std::mt19937_64 rng(5);
  Pair pair;
  ModelReceiver& receiver = pair.receiver;
  const auto build = [&](Index& index, uint64_t ids) {
    index.put(root_key,
              Entry{.attr = {.type = FileType::directory, .mode = 0755, .dir = root_dir}});
    DirId parent = root_dir;
    for (int d = 0; d < 5; ++d) {
      const DirId dir{ids + d};
      index.put({parent, "d"},
                Entry{.attr = {.type = FileType::directory, .mode = 0755, .dir = dir}});
      const Attributes linked{.type = FileType::regular,
                              .mode = 0644,
                              .size = 1,
                              .content = hash_bytes("x"),
                              .link = LinkId{ids + 100 + d},
                              .link_names = 2};
      index.put({dir, "a"}, Entry{.attr = linked});
      index.put({dir, "b"}, Entry{.attr = linked});
      parent = dir;
    }
  };
  build(*pair.tree.index.index, 1000);
  build(*receiver.index.index, 5000);
  receiver.contents[hash_bytes("x")] = "x";
  pair.start(PlanMode::compare);
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(receiver.adoptions, 5u + 10u);
  EXPECT_EQ(receiver.puts, 0u);
}

TEST(Sender, MovedAndSwappedDirectoriesAreOneRecordEach) {
  Pair pair;
  Tree& tree = pair.tree;
  const DirId a = tree.mkdir(root_dir, "a");
  const DirId b = tree.mkdir(root_dir, "b");
  const DirId c = tree.mkdir(a, "c");
  for (int i = 0; i < 30; ++i) {
    tree.write({a, "fa" + std::to_string(i)}, "a" + std::to_string(i));
    tree.write({c, "fc" + std::to_string(i)}, "c" + std::to_string(i));
  }
  pair.first_sync();
  pair.receiver.puts = 0;
  ++tree.now.value;
  const Attributes attr_a = tree.index->get({root_dir, "a"})->attr;
  const Attributes attr_b = tree.index->get({root_dir, "b"})->attr;
  const Attributes attr_c = tree.index->get({a, "c"})->attr;
  tree.put({root_dir, "t"}, attr_a);
  tree.put({root_dir, "a"}, attr_b);
  tree.put({root_dir, "b"}, attr_a);
  tree.put({b, "moved"}, attr_c);
  pair.start(PlanMode::compare);
  pair.settle();
  pair.expect_equal();
  EXPECT_LE(pair.receiver.puts, 5u);
  EXPECT_EQ(pair.receiver.moved_dirs, 3u);
}

TEST(Sender, LiveCuts) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    std::mt19937_64 rng(seed);
    Pair pair;
    pair.random_ops(rng, 40);
    pair.first_sync();
    pair.tree.touched.clear();
    for (int round = 0; round < 10; ++round) {
      ++pair.tree.now.value;
      pair.random_ops(rng, 1 + rng() % 10);
      pair.sender->on_cut(pair.batch());
      pair.settle();
      EXPECT_EQ(pair.receiver.at, pair.tree.now);
      pair.expect_equal();
      ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << " round " << round;
    }
    EXPECT_EQ(pair.sender->status().mismatches, 0u);
  }
}

// The digest of the file that was there must not travel with the link that took its place.
TEST(Sender, LiveTypeChangeLeavesNoDigestBehind) {
  Pair pair;
  pair.tree.write({root_dir, "n"}, "file");
  pair.first_sync();
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  pair.tree.put({root_dir, "n"},
                Attributes{.type = FileType::symlink, .mode = 0777, .target = "t"});
  pair.sender->on_cut(pair.batch());
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.sender->status().mismatches, 0u);
}

// Between the moment a directory is found to be missing at the peer and the one when it is sent, it
// moves: what lies in it must not leave without it.
TEST(Sender, DirectoriesThatMoveDuringARunTakeTheirContentsAlong) {
  for (const PlanMode mode : {PlanMode::changes, PlanMode::compare}) {
    for (int moment = 0; moment < 4; ++moment) {
      SCOPED_TRACE(std::to_string(static_cast<int>(mode)) + " " + std::to_string(moment));
      Pair pair;
      const DirId from = pair.tree.mkdir(root_dir, "from");
      pair.first_sync();
      const CutNumber since = pair.tree.now;
      ++pair.tree.now.value;
      const DirId dir = pair.tree.mkdir(from, "d");
      pair.tree.write({pair.tree.mkdir(dir, "sub"), "f"}, "x");
      const DirId to = pair.tree.mkdir(from, "to");
      pair.start(mode, since);
      pair.turns(moment);
      pair.tree.touched.clear();
      ++pair.tree.now.value;
      pair.tree.put({to, "e"}, pair.tree.index->get({from, "d"})->attr);
      pair.tree.touched.insert({from, "d"});
      pair.sender->on_cut(pair.batch());
      pair.settle();
      pair.expect_equal();
      EXPECT_EQ(pair.sender->status().mismatches, 0u);
    }
  }
}

TEST(Sender, OverflowingQueueFallsBackToTheLog) {
  std::mt19937_64 rng(3);
  Pair pair;
  pair.random_ops(rng, 40);
  pair.first_sync();
  pair.tree.touched.clear();
  for (size_t i = 0; i < limits::live_batches_max + 50; ++i) {
    ++pair.tree.now.value;
    pair.random_ops(rng, 1);
    pair.sender->on_cut(pair.batch());
  }
  EXPECT_EQ(pair.sender->status().fallbacks, 1u);
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.receiver.at, pair.tree.now);
}

TEST(Sender, RefusedKeysAreSentWholeAndThenGivenUp) {
  Pair pair;
  pair.tree.write({root_dir, "good"}, "g");
  pair.tree.write({root_dir, "bad"}, "b");
  int times = 0;
  pair.receiver.refuse = [&](const Key& key) { return key.name == "bad" && ++times <= 2; };
  pair.first_sync();
  EXPECT_EQ(times, 3);
  EXPECT_EQ(pair.sender->status().refused, 2u);
  EXPECT_EQ(pair.sender->status().held_keys, 0u);

  Pair stubborn;
  stubborn.tree.write({root_dir, "bad"}, "b");
  stubborn.receiver.refuse = [](const Key& key) { return key.name == "bad"; };
  stubborn.start(PlanMode::first_sync);
  stubborn.settle();
  EXPECT_EQ(stubborn.sender->status().held_keys, 1u);
  EXPECT_LE(stubborn.receiver.cuts, 20u);
}

// Several cuts on their way hold the key that the peer refuses: that is one refusal.
TEST(Sender, ARefusalInEveryCutOnTheWayIsCountedOnce) {
  Pair pair;
  const Key key{root_dir, "f"};
  pair.tree.write(key, "f");
  pair.first_sync();
  for (uint64_t cut = 0; cut < 10; ++cut) {
    ASSERT_TRUE(pair.sender->on_message(Refused{.cut = pair.tree.now, .key = key, .reason = "no"}));
  }
  pair.settle();
  EXPECT_EQ(pair.sender->status().held_keys, 0u);
  EXPECT_FALSE(pair.sender->status().owes);
  pair.expect_equal();
}

// Until what was refused is durable under the number that was acknowledged already.
TEST(Sender, WhatIsSentAgainIsOwedUntilItIsThere) {
  Pair pair;
  const Key key{root_dir, "f"};
  pair.tree.write(key, "f");
  pair.first_sync();
  EXPECT_FALSE(pair.sender->status().owes);
  ASSERT_TRUE(pair.sender->on_message(Refused{.cut = pair.tree.now, .key = key, .reason = "no"}));
  EXPECT_TRUE(pair.sender->status().owes);
  while (pair.sender->pump()) {
  }
  EXPECT_TRUE(pair.sender->status().owes) << "it is on its way";
  pair.settle();
  EXPECT_FALSE(pair.sender->status().owes);
}

// The peer has a directory under a name that it moved away from; before it is told so, the
// directory is removed.
TEST(Sender, ADirectoryThatMovedAndWentDuringARunGoesFromWhereThePeerHasIt) {
  for (const PlanMode mode : {PlanMode::changes, PlanMode::compare}) {
    for (int moment = 0; moment < 4; ++moment) {
      SCOPED_TRACE(std::to_string(static_cast<int>(mode)) + " " + std::to_string(moment));
      Pair pair;
      const DirId dir = pair.tree.mkdir(root_dir, "d");
      pair.tree.write({dir, "f"}, "f");
      pair.first_sync();
      const CutNumber since = pair.tree.now;
      ++pair.tree.now.value;
      pair.tree.put({root_dir, "e"}, pair.tree.index->get({root_dir, "d"})->attr);
      pair.tree.touched.insert({root_dir, "d"});
      pair.start(mode, since);
      pair.turns(moment);
      pair.tree.touched.clear();
      ++pair.tree.now.value;
      pair.tree.remove({root_dir, "e"});
      pair.sender->on_cut(pair.batch());
      pair.settle();
      pair.expect_equal();
      EXPECT_EQ(pair.sender->status().mismatches, 0u);
    }
  }
}

TEST(Sender, ExtraNamesAreDisownedOnRequest) {
  Pair pair;
  pair.tree.write({root_dir, "f"}, "x");
  pair.receiver.index->put(root_key, Entry{.attr = pair.tree.dir_attr(root_dir)});
  pair.receiver.index->put({root_dir, "theirs"}, Entry{.attr = {.type = FileType::fifo}});
  pair.start(PlanMode::compare, {}, true);
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.receiver.disowned, 1u);
}

TEST(Sender, WhatCannotBeReadIsLeftOutAndTheOthersMarkedDirty) {
  Pair pair;
  pair.tree.write({root_dir, "gone"}, "x");
  pair.tree.write({root_dir, "changed"}, "old");
  pair.tree.write({root_dir, "kept"}, "k");
  pair.tree.source.files.erase({root_dir, "gone"});
  ScriptedFile& changed = *pair.tree.source.files[{root_dir, "changed"}];
  changed.bytes = "newer";
  changed.attr.mtime.seconds = 99;
  pair.start(PlanMode::first_sync);
  pair.settle();
  EXPECT_EQ(pair.dirty, (std::set<Key>{{root_dir, "changed"}}));
  EXPECT_EQ(pair.left_out, (std::set<Key>{{root_dir, "gone"}}));
  EXPECT_FALSE(pair.receiver.ordered);
  EXPECT_FALSE(pair.receiver.index->contains({root_dir, "gone"}));
  const auto theirs = pair.receiver.index->get({root_dir, "changed"});
  ASSERT_TRUE(theirs);
  EXPECT_EQ(theirs->attr.content, hash_bytes("newer"));
  EXPECT_EQ(theirs->attr.mtime.seconds, 99);
}

struct LargeEdit {
  Pair pair;
  std::string bytes;
  explicit LargeEdit(size_t size = 2 << 20) {
    std::mt19937_64 rng(17);
    bytes = random_bytes(rng, size);
    pair.tree.write({root_dir, "large"}, bytes);
    pair.tree.write({root_dir, "small"}, "s");
    pair.first_sync();
    EXPECT_EQ(pair.sender->counters().whole, 1u);
  }
  void edit(std::string next, bool forget_table = false) {
    const CutNumber since = pair.tree.now;
    ++pair.tree.now.value;
    if (forget_table) pair.tree.index->clear();
    pair.tree.write({root_dir, "large"}, std::move(next), false);
    pair.tree.write({root_dir, "small"}, "t");
    pair.start(PlanMode::changes, since);
    pair.settle();
    pair.expect_equal();
  }
};

TEST(Sender, EditInPlaceTravelsAligned) {
  LargeEdit large;
  large.bytes[1'000'000] ^= 1;
  large.edit(large.bytes + "tail");
  EXPECT_EQ(large.pair.sender->counters().aligned, 1u);
  EXPECT_LE(large.pair.sender->counters().literal_bytes, limits::block_bytes * 2 + 100);
}

// A file that is written all the time: the second cut is made before the first was streamed, so the
// index never knew the content that the peer has by then.
TEST(Sender, EditsFasterThanTheyAreSentTravelAligned) {
  LargeEdit large;
  Pair& pair = large.pair;
  pair.tree.touched.clear();
  for (const size_t at : {100'000u, 900'000u, 1'900'000u}) {
    ++pair.tree.now.value;
    large.bytes[at] ^= 1;
    pair.tree.write({root_dir, "large"}, large.bytes, false);
    auto batch = pair.batch();
    if (at > 100'000u) {
      for (CutItem& item : batch->items) item.base_content = {};
    }
    pair.sender->on_cut(std::move(batch));
  }
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.sender->counters().whole, 1u) << "that of the first sync";
  EXPECT_LE(pair.sender->counters().literal_bytes, (2u << 20) + limits::block_bytes * 4);
}

// What was streamed under a name is no base for what comes after another object there.
TEST(Sender, WhatWasStreamedIsForgottenWithItsName) {
  LargeEdit large;
  Pair& pair = large.pair;
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "large"}, "now small");
  pair.sender->on_cut(pair.batch());
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "large"}, large.bytes + "more", false);
  auto batch = pair.batch();
  for (CutItem& item : batch->items) item.base_content = {};
  pair.sender->on_cut(std::move(batch));
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.sender->counters().whole, 2u);
}

TEST(Sender, InsertionTravelsRolling) {
  LargeEdit large;
  large.edit("inserted" + large.bytes);
  EXPECT_EQ(large.pair.sender->counters().signature_requests, 1u);
  EXPECT_EQ(large.pair.sender->counters().rolling, 1u);
  EXPECT_LE(large.pair.sender->counters().literal_bytes, 20'000u);
}

void keep_signature(Pair& pair, const std::string& bytes) {
  pair.tree.index->put_signature(
      digest_of_blocks(blocks_of(bytes)),
      *delta::make_signature(bytes.size(),
                             [&](uint64_t offset, char* to, size_t size) -> Result<size_t> {
                               return bytes.copy(to, size, offset);
                             }));
}

// The sender makes the difference alone, without asking anything.
TEST(Sender, InsertionWithAStoredSignatureAsksNothing) {
  LargeEdit large;
  keep_signature(large.pair, large.bytes);
  large.edit("inserted" + large.bytes);
  EXPECT_EQ(large.pair.sender->counters().rolling, 1u);
  EXPECT_EQ(large.pair.sender->counters().signature_requests, 0u);
  EXPECT_LE(large.pair.sender->counters().literal_bytes, 20'000u);
  EXPECT_GE(large.pair.sender->counters().rolling_bytes, 2'000'000u);
}

// When it is looked at, its writer has hardly begun: the samples tell of an edit in place.
TEST(Sender, AnInsertionSeenAtItsBeginningTravelsRolling) {
  LargeEdit large(16 << 20);
  std::string half = "inserted" + large.bytes.substr(0, 1000);
  half += large.bytes.substr(half.size());
  const std::string whole = "inserted" + large.bytes;
  Pair& pair = large.pair;
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "large"}, half, false, true);
  pair.sender->on_cut(pair.batch());
  // 65 samples are read, then a mebibyte at a time.
  pair.tree.source.files[{root_dir, "large"}]->on_read = [&](ScriptedFile& file) {
    if (file.reads == 68) file.bytes = whole;
  };
  pair.run_until([] { return false; });
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "large"}, whole, false, true);
  pair.sender->on_cut(pair.batch());
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.sender->counters().rolling, 1u);
  const uint64_t signature = delta::signature_bytes(large.bytes.size());
  const uint64_t wasted = (2u << 20) + 8 * signature + limits::stream_step_bytes;
  EXPECT_LE(pair.receiver.staged_bytes, large.bytes.size() + wasted);
}

TEST(Sender, ScatteredEditsAskNothing) {
  LargeEdit large;
  for (size_t at = 1000; at < large.bytes.size(); at += 300'000) large.bytes[at] ^= 1;
  large.edit(large.bytes);
  EXPECT_EQ(large.pair.sender->counters().aligned, 1u);
  EXPECT_EQ(large.pair.sender->counters().signature_requests, 0u);
  EXPECT_LE(large.pair.sender->counters().literal_bytes, 7 * limits::block_bytes + 10);
}

TEST(Sender, AppendIsCounted) {
  LargeEdit large;
  large.edit(large.bytes + std::string(100'000, 'x'));
  EXPECT_EQ(large.pair.sender->counters().append, 1u);
  EXPECT_LE(large.pair.sender->counters().literal_bytes, 100'010u);
}

// Everything that the sender kept is lost: both tables are asked for.
TEST(Sender, AfterTheStoreIsLostTheTablesAreAskedFor) {
  LargeEdit large;
  keep_signature(large.pair, large.bytes);
  Tree& tree = large.pair.tree;
  const CutNumber since = tree.now;
  ++tree.now.value;
  TempIndex fresh;
  std::swap(tree.index.index, fresh.index);
  std::swap(tree.index.path, fresh.path);
  tree.root();
  tree.write({root_dir, "large"}, "inserted" + large.bytes, false);
  tree.write({root_dir, "small"}, "t");
  large.pair.start(PlanMode::changes, since);
  large.pair.settle();
  large.pair.expect_equal();
  EXPECT_EQ(large.pair.sender->counters().rolling, 1u);
  EXPECT_EQ(large.pair.sender->counters().signature_requests, 2u);
}

TEST(Sender, KnownContentIsCopied) {
  LargeEdit large;
  const CutNumber since = large.pair.tree.now;
  ++large.pair.tree.now.value;
  large.pair.tree.write({root_dir, "copy"}, large.bytes);
  large.pair.start(PlanMode::changes, since);
  large.pair.settle();
  large.pair.expect_equal();
  EXPECT_EQ(large.pair.sender->counters().copied, 1u);
  EXPECT_EQ(large.pair.sender->counters().literal_bytes, 0u);
}

// A file whose digest nobody knows yet, in a live cut or after a reconnect.
struct UnknownCopy : LargeEdit {
  void send(bool live) {
    const CutNumber since{pair.tree.now.value - 1};
    if (live) {
      pair.sender->on_cut(pair.batch());
    } else {
      pair.start(PlanMode::changes, since);
    }
    pair.settle();
    pair.expect_equal();
  }
  void next_cut() {
    pair.tree.touched.clear();
    ++pair.tree.now.value;
  }
  [[nodiscard]] const MethodCounters& counters() const { return pair.sender->counters(); }
};

TEST(Sender, ACopyThatNobodyDigestedIsFound) {
  for (const bool live : {true, false}) {
    UnknownCopy copy;
    copy.next_cut();
    copy.pair.tree.write({root_dir, "copy"}, copy.bytes, false);
    const uint64_t literal = copy.counters().literal_bytes;
    copy.send(live);
    EXPECT_EQ(copy.counters().copied, 1u);
    EXPECT_EQ(copy.counters().literal_bytes, live ? literal : 0u);
    EXPECT_TRUE(copy.pair.dirty.empty());
  }
}

TEST(Sender, AnEditedFileThatIsACopyByNowIsCopied) {
  UnknownCopy copy;
  std::mt19937_64 rng(3);
  copy.next_cut();
  copy.pair.tree.write({root_dir, "other"}, random_bytes(rng, copy.bytes.size()));
  copy.send(true);
  copy.next_cut();
  copy.pair.tree.write({root_dir, "other"}, copy.bytes, false);
  const uint64_t literal = copy.counters().literal_bytes;
  copy.send(true);
  EXPECT_EQ(copy.counters().copied, 1u);
  EXPECT_EQ(copy.counters().literal_bytes, literal);
}

// What has the size of another content, but not its blocks, is hardly read for that.
TEST(Sender, AFileOfACommonSizeIsReadOnce) {
  UnknownCopy copy;
  std::mt19937_64 rng(3);
  copy.next_cut();
  const Key key{root_dir, "other"};
  copy.pair.tree.write(key, random_bytes(rng, copy.bytes.size()), false);
  copy.send(true);
  EXPECT_EQ(copy.counters().copied, 0u);
  EXPECT_LE(copy.pair.tree.source.files[key]->reads, 4u);
}

// Only the last block differs, which no sample sees.
TEST(Sender, NearlyACopyIsNone) {
  UnknownCopy copy;
  copy.next_cut();
  std::string bytes = copy.bytes;
  bytes.back() ^= 1;
  copy.pair.tree.write({root_dir, "other"}, bytes, false);
  copy.send(true);
  EXPECT_EQ(copy.counters().copied, 0u);
  EXPECT_EQ(copy.counters().whole, 2u);
}

// A move that was seen as a removal and a new file; a log that was copied and truncated: the peer
// has the content until the end of the very cut.
TEST(Sender, WhatACutReplacesOrRemovesIsASourceInIt) {
  for (const bool live : {true, false}) {
    for (const bool removed : {true, false}) {
      UnknownCopy copy;
      copy.next_cut();
      copy.pair.tree.write({root_dir, "copy"}, copy.bytes, false);
      if (removed)
        copy.pair.tree.remove({root_dir, "large"});
      else
        copy.pair.tree.write({root_dir, "large"}, "truncated");
      copy.send(live);
      EXPECT_EQ(copy.counters().copied, 1u);
    }
  }
}

TEST(Sender, WhatThePeerHasNoMoreIsNoSource) {
  for (const bool removed : {true, false}) {
    UnknownCopy copy;
    copy.next_cut();
    if (removed)
      copy.pair.tree.remove({root_dir, "large"});
    else
      copy.pair.tree.write({root_dir, "large"}, "truncated");
    copy.send(true);
    copy.next_cut();
    copy.pair.tree.write({root_dir, "copy"}, copy.bytes, false);
    copy.send(true);
    EXPECT_EQ(copy.counters().copied, 0u);
    EXPECT_EQ(copy.counters().whole, 2u);
  }
}

TEST(Sender, ACopyThatChangesWhileItIsReadIsSentAsItIs) {
  UnknownCopy copy;
  copy.next_cut();
  const Key key{root_dir, "copy"};
  copy.pair.tree.write(key, copy.bytes, false);
  const auto file = copy.pair.tree.source.files[key];
  file->on_read = [reads = 0](ScriptedFile& f) mutable {
    // After the samples, behind what was read.
    if (++reads != 18) return;
    f.bytes[10] ^= 1;
    ++f.ctime;
  };
  copy.pair.sender->on_cut(copy.pair.batch());
  copy.pair.settle();
  EXPECT_EQ(copy.counters().copied, 0u);
  EXPECT_EQ(copy.pair.receiver.index->get(key)->attr.content,
            digest_of_blocks(blocks_of(file->bytes)));
}

// All names of a linked file get what was copied.
TEST(Sender, LinkedNamesFollowACopy) {
  UnknownCopy copy;
  copy.next_cut();
  copy.pair.tree.write({root_dir, "one"}, copy.bytes, false);
  copy.pair.tree.link({root_dir, "one"}, {root_dir, "two"});
  copy.send(true);
  EXPECT_EQ(copy.counters().copied, 1u);
  EXPECT_EQ(copy.counters().linked, 1u);
}

TEST(Sender, WrongFingerprintIsComparedOncePerCut) {
  Pair pair;
  pair.tree.write({root_dir, "f"}, "x");
  pair.first_sync();
  // Something that no cut will repair on its own.
  pair.receiver.index->put({root_dir, "stray"}, Entry{.attr = {.type = FileType::fifo}});
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "g"}, "y");
  pair.sender->on_cut(pair.batch());
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.sender->status().mismatches, 1u);
}

// A cut that was not exact says nothing; when the tree holds still the peer is asked to be equal.
TEST(Sender, WhatTheLastCutDidNotProveIsProvedLater) {
  Pair pair;
  pair.tree.write({root_dir, "f"}, "x");
  pair.first_sync();
  pair.receiver.index->put({root_dir, "stray"}, Entry{.attr = {.type = FileType::fifo}});
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "g"}, "y");
  auto batch = pair.batch();
  batch->ordered = false;
  pair.sender->on_cut(std::move(batch));
  pair.settle();
  EXPECT_EQ(pair.sender->status().mismatches, 0u);
  EXPECT_TRUE(pair.sender->status().unproved);
  EXPECT_FALSE(pair.sender->status().in_sync);
  EXPECT_TRUE(pair.sender->prove());
  pair.settle();
  pair.expect_equal();
  EXPECT_TRUE(pair.sender->status().in_sync);
  EXPECT_FALSE(pair.sender->prove());
}

std::shared_ptr<CutBatch> without_items(Pair& pair) {
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  return pair.batch();
}

// The index shows what the tree never was as a whole, until a cut that is exact.
TEST(Sender, WhatIsMadeOfAnIndexThatIsNotExactIsNotEither) {
  Pair pair;
  pair.tree.write({root_dir, "f"}, "x");
  pair.first_sync();
  EXPECT_TRUE(pair.receiver.ordered);
  const CutNumber since = pair.tree.now;
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "g"}, "y");
  pair.connect();
  Plan plan{
      .mode = PlanMode::changes, .epoch = {}, .reign = pair.receiver.reign, .cut = pair.tree.now};
  plan.since = since;
  plan.exact = false;
  pair.sender->start(plan);
  pair.settle();
  pair.expect_equal();
  EXPECT_FALSE(pair.receiver.ordered);
  EXPECT_TRUE(pair.sender->status().in_sync) << "equal they are";
  pair.sender->on_cut(without_items(pair));
  pair.settle();
  EXPECT_TRUE(pair.receiver.ordered);
  EXPECT_EQ(pair.receiver.at, pair.tree.now);
}

// A file that is in a cut and has changed since, with another cut behind that.
Key newer_than_its_cut(Pair& pair) {
  pair.first_sync();
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  const Key key{root_dir, "f"};
  pair.tree.write(key, std::string(5000, 'x'), false);
  pair.sender->on_cut(pair.batch());
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "g"}, "y");
  pair.sender->on_cut(pair.batch());
  pair.tree.source.files[key]->bytes.back() = 'z';
  pair.tree.source.files[key]->attr.mtime.seconds = 99;
  return key;
}

// A version that is newer than its cut: cuts that were made before it was read do not know of it.
TEST(Sender, CutsBehindANewerVersionAreNotExact) {
  Pair pair;
  const Key key = newer_than_its_cut(pair);
  int told = 0;
  pair.on_not_exact = [&] { ++told; };
  pair.settle();
  EXPECT_EQ(pair.dirty, std::set<Key>{key});
  EXPECT_FALSE(pair.receiver.ordered);
  EXPECT_EQ(told, 1);
}

TEST(Sender, TheFirstCutThatKnowsOfANewerVersionIsExact) {
  Pair pair;
  const Key key = newer_than_its_cut(pair);
  pair.on_not_exact = [&] {
    ++pair.tree.now.value;
    pair.tree.write(key, std::string(4999, 'x') + 'z');
    pair.sender->on_cut(pair.batch());
  };
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.receiver.at, pair.tree.now);
  EXPECT_TRUE(pair.receiver.ordered);
}

// Equal contents under other ids are a difference, too: names of one file that are two there.
TEST(Sender, NamesOfOneFileThatAreTwoThereAreFound) {
  Pair pair;
  pair.tree.write({root_dir, "one"}, "same");
  pair.tree.link({root_dir, "one"}, {root_dir, "two"});
  pair.first_sync();
  for (const char* name : {"one", "two"}) {
    Entry entry = *pair.receiver.index->get({root_dir, name});
    entry.attr.link = LinkId{};
    pair.receiver.index->put({root_dir, name}, entry);
  }
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "other"}, "y");
  pair.sender->on_cut(pair.batch());
  pair.settle();
  EXPECT_EQ(pair.sender->status().mismatches, 1u);
  pair.expect_equal();
}

// What comparing cannot mend is not compared for ever: people are told.
TEST(Sender, ADifferenceThatComparingDoesNotMendIsSaid) {
  Pair pair;
  pair.tree.write({root_dir, "f"}, "x");
  pair.first_sync();
  pair.receiver.refuse = [](const Key& key) { return key.name == "g"; };
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "g"}, "y");
  pair.sender->on_cut(pair.batch());
  pair.settle();
  EXPECT_FALSE(pair.sender->status().in_sync && pair.sender->status().held_keys == 0);
  EXPECT_LE(pair.receiver.cuts, 30u);
}

// Removed on the primary, and held there: nobody can read it any more.
struct WithheldPair : Pair {
  WithheldPair() {
    held = tree.mkdir(root_dir, "held");
    tree.write({held, "f"}, "x");
    tree.write({root_dir, "gone"}, random_bytes(rng, 300'000));
    tree.write({root_dir, "kept"}, "y");
  }
  void withhold() {
    withheld = [this](const Key& key) { return key.dir == held || is_top(key); };
    std::erase_if(tree.source.files, [this](const auto& file) { return withheld(file.first); });
  }
  static bool is_top(const Key& key) { return key.name == "held" || key.name == "gone"; }
  void prove() {
    settle();
    for (int i = 0; i < 5 && sender->prove(); ++i) settle();
  }
  void write_and_send(const std::string& name) {
    tree.touched.clear();
    ++tree.now.value;
    tree.write({root_dir, name}, name);
    sender->on_cut(batch());
    settle();
  }
  void expect_all_but_held() const {
    const SenderStatus status = sender->status();
    EXPECT_TRUE(status.in_sync);
    EXPECT_FALSE(status.owes);
    EXPECT_FALSE(status.differs);
    EXPECT_GT(status.withheld, 0U);
    EXPECT_EQ(status.without_held, receiver.index->root_content());
    EXPECT_TRUE(left_out.empty());
    EXPECT_FALSE(receiver.index->contains({root_dir, "gone"}));
    EXPECT_FALSE(receiver.index->contains({root_dir, "held"}));
  }
  std::mt19937_64 rng{1};
  DirId held;
};

TEST(Sender, ANewPeerGoesWithoutWhatIsWithheld) {
  WithheldPair pair;
  pair.withhold();
  pair.start(PlanMode::first_sync);
  pair.prove();
  pair.expect_all_but_held();
  EXPECT_TRUE(pair.receiver.index->contains({root_dir, "kept"}));
  pair.write_and_send("other");
  EXPECT_TRUE(pair.receiver.index->contains({root_dir, "other"}));
  EXPECT_TRUE(pair.sender->status().unproved) << "compared when the tree rests, not at each cut";
  pair.prove();
  pair.expect_all_but_held();
}

TEST(Sender, APeerThatHasWhatIsWithheldIsEqual) {
  WithheldPair pair;
  pair.first_sync();
  pair.withhold();
  pair.write_and_send("other");
  pair.expect_equal();
  EXPECT_EQ(pair.sender->status().withheld, 0U);
  EXPECT_FALSE(pair.sender->status().without_held);
  EXPECT_EQ(pair.sender->status().mismatches, 0U);
}

TEST(Sender, WhatElseAPeerLacksIsSentAllTheSame) {
  WithheldPair pair;
  pair.first_sync();
  pair.withhold();
  for (const char* name : {"gone", "held", "kept"})
    pair.receiver.index->remove({root_dir, name}, CutNumber{1});
  pair.start(PlanMode::compare);
  pair.prove();
  pair.expect_all_but_held();
  EXPECT_TRUE(pair.receiver.index->contains({root_dir, "kept"}));
}

TEST(Sender, WhatIsWithheldIsNoSourceOfACopy) {
  WithheldPair pair;
  pair.withhold();
  pair.start(PlanMode::first_sync);
  pair.prove();
  std::mt19937_64 same(1);
  const std::string bytes = random_bytes(same, 300'000);
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  pair.tree.write({root_dir, "copy"}, bytes);
  ASSERT_EQ(pair.tree.index->get({root_dir, "copy"})->attr.content,
            pair.tree.index->get({root_dir, "gone"})->attr.content);
  pair.sender->on_cut(pair.batch());
  pair.prove();
  EXPECT_EQ(pair.sender->counters().copied, 0U);
  EXPECT_TRUE(pair.receiver.index->contains({root_dir, "copy"}));
  pair.expect_all_but_held();
}

TEST(Sender, ReleasedIsEqual) {
  WithheldPair pair;
  pair.withhold();
  pair.start(PlanMode::first_sync);
  pair.prove();
  pair.withheld = {};
  pair.tree.touched.clear();
  ++pair.tree.now.value;
  pair.tree.remove({root_dir, "held"});
  pair.tree.remove({root_dir, "gone"});
  pair.sender->on_cut(pair.batch());
  pair.prove();
  pair.expect_equal();
  EXPECT_EQ(pair.sender->status().withheld, 0U);
  EXPECT_TRUE(pair.sender->status().in_sync);
}

TEST(Sender, BreachesOfTheProtocolAreErrors) {
  Pair pair;
  pair.start(PlanMode::compare);
  static_cast<void>(pair.sender->pump());
  EXPECT_FALSE(pair.sender->on_message(DirectoryListing{.dir = DirId{77}}));
  EXPECT_FALSE(pair.sender->on_message(KeysAnswer{}));
  ASSERT_TRUE(pair.sender->on_message(KeysAnswer{.keys = {root_key}, .infos = {KeyInfo{}}}));
  static_cast<void>(pair.sender->pump());
  KeyInfo b{.name = "b"}, a{.name = "a"}, dots{.name = ".."};
  EXPECT_FALSE(pair.sender->on_message(DirectoryListing{.dir = root_dir, .children = {b, a}}));
  EXPECT_FALSE(pair.sender->on_message(DirectoryListing{.dir = root_dir, .children = {dots}}));
}

TEST(RecordPacker, BoundsMessages) {
  std::vector<Records> sent;
  RecordPacker packer([&](Message m) { sent.push_back(std::get<Records>(std::move(m))); });
  for (int i = 0; i < 10'000; ++i) packer.add(Remove{.key = {root_dir, std::to_string(i)}});
  for (int i = 0; i < 5; ++i) {
    packer.add(Put{.key = {root_dir, "f"},
                   .content = ContentInline{std::string(limits::inline_bytes_max, 'x')}});
  }
  packer.flush();
  packer.flush();
  size_t total = 0;
  for (const Records& r : sent) {
    size_t bytes = 0;
    for (const Record& record : r.records) bytes += record_bytes(record);
    EXPECT_LE(bytes, limits::message_bytes_target + limits::inline_bytes_max);
    EXPECT_LE(r.records.size(), limits::records_per_message_max);
    EXPECT_FALSE(r.records.empty());
    total += r.records.size();
  }
  EXPECT_EQ(total, 10'005u);
}

}  // namespace
}  // namespace repl::send
