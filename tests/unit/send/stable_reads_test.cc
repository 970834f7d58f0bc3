// Files that change while they are sent: what the peer gets to see of them, and when.
#include <gtest/gtest.h>

#include <string>

#include "engine/base/limits.h"
#include "tests/unit/send/sender_pair.h"

namespace repl::send {
namespace {

constexpr size_t large = (1 << 20) + 300'000;
constexpr size_t small = 2000;

// A replica in sync, that has "f" of more than a step or of 2000 bytes, whose next version is being
// written.
struct StableReads : ::testing::TestWithParam<size_t> {
  Pair pair;
  std::mt19937_64 rng{3};
  const Key key{root_dir, "f"};
  const Key other{root_dir, "other"};
  std::string old = random_bytes(rng, GetParam());
  std::string next = random_bytes(rng, GetParam());
  size_t torn = 0;  // reads that are still to be torn

  void SetUp() override {
    pair.read_torn_again = false;
    pair.tree.write(key, old);
    pair.tree.write({root_dir, "other"}, "other");
    first_sync();
  }
  void first_sync() {
    pair.first_sync();
    pair.start(PlanMode::in_sync);
    pair.tree.touched.clear();
  }
  ScriptedFile& file() { return *pair.tree.source.files.at(key); }
  // The next version, in a cut; the first read of the file, and each that begins at its front, is
  // torn as often as `torn` says.
  void edit(bool in_place = true) {
    ++pair.tree.now.value;
    pair.tree.write(key, next, false, in_place);
    tear();
    auto batch = pair.batch();
    for (CutItem& item : batch->items) item.bytes.reset();
    pair.sender->on_cut(std::move(batch));
  }
  // As a writer does who goes on: what was read before is other bytes by now.
  void tear() {
    file().on_read = [this](ScriptedFile& f) {
      if (torn == 0) return;
      --torn;
      for (size_t at = 0; at < f.bytes.size(); at += 1000) ++f.bytes[at];
      ++f.ctime;
    };
  }
  [[nodiscard]] std::string theirs() {
    return pair.receiver.contents[pair.receiver.index->get(key)->attr.content];
  }
  // The file is read again, until that many torn reads in a row; a small one five times at once.
  void read_again() {
    pair.sender->read_torn_again();
    pair.settle();
  }
  static constexpr size_t always = SIZE_MAX;
};

TEST_P(StableReads, ATornVersionIsNotPublished) {
  torn = always;
  edit();
  pair.settle();
  EXPECT_TRUE(theirs() == old);
  EXPECT_EQ(pair.sender->status().torn_reads, 1);
  EXPECT_EQ(pair.sender->status().hot_files, 0u);
  EXPECT_TRUE(pair.sender->status().owes) << "who waits for the cut waits for it";
  EXPECT_FALSE(pair.sender->status().in_sync);
}

TEST_P(StableReads, ItIsPublishedWhenItHoldsStill) {
  torn = always;
  edit();
  pair.settle();
  read_again();
  EXPECT_TRUE(theirs() == old);
  EXPECT_EQ(pair.sender->status().torn_reads, 2);
  torn = 0;
  read_again();
  EXPECT_TRUE(theirs() == file().bytes);
  EXPECT_EQ(pair.sender->status().torn_reads, 0);
  EXPECT_EQ(pair.sender->status().hot_files, 0u);
  EXPECT_FALSE(pair.sender->status().owes);
}

TEST_P(StableReads, CutsThatComeMeanwhileDoNotWaitForIt) {
  torn = always;
  edit();
  pair.settle();
  ++pair.tree.now.value;
  pair.tree.write(other, "newer", true, true);
  pair.sender->on_cut(pair.batch());
  pair.settle();
  EXPECT_EQ(pair.receiver.index->get(other)->attr.content, hash_bytes("newer"));
  EXPECT_TRUE(theirs() == old);
  EXPECT_TRUE(pair.receiver.loose) << "not all of that cut is there";
  torn = 0;
  read_again();
  EXPECT_TRUE(theirs() == file().bytes);
  EXPECT_FALSE(pair.receiver.loose);
}

TEST_P(StableReads, WhatNeverHoldsStillIsPublishedAndCounted) {
  torn = always;
  edit();
  pair.settle();
  for (int tries = 2; tries < limits::stable_read_tries_max; ++tries) read_again();
  EXPECT_TRUE(theirs() == old);
  EXPECT_EQ(pair.sender->status().hot_files, 0u);
  read_again();
  EXPECT_FALSE(theirs() == old);
  EXPECT_EQ(pair.sender->status().hot_files, 1u);
  EXPECT_TRUE(pair.dirty.contains(key)) << "its next cut corrects it";
  EXPECT_FALSE(pair.receiver.ordered);
  // From there on it is published however it is read, until it once holds still.
  edit();
  pair.settle();
  EXPECT_EQ(pair.sender->status().hot_files, 2u);
  torn = 0;
  edit();
  pair.settle();
  EXPECT_TRUE(theirs() == next);
  EXPECT_EQ(pair.sender->status().hot_files, 2u);
  torn = always;
  edit();
  pair.settle();
  EXPECT_EQ(pair.sender->status().hot_files, 2u);
  EXPECT_TRUE(theirs() == next);
}

TEST_P(StableReads, OtherNamesOfItWaitForIt) {
  const Key name{root_dir, "z"}, later{root_dir, "zz"};
  ++pair.tree.now.value;
  pair.tree.link(key, name);
  pair.sender->on_cut(pair.batch());
  pair.settle();
  pair.expect_equal();
  torn = always;
  edit();
  pair.settle();
  EXPECT_TRUE(theirs() == old);
  ++pair.tree.now.value;
  pair.tree.link(key, later);
  pair.sender->on_cut(pair.batch());
  pair.settle();
  EXPECT_FALSE(pair.receiver.index->contains(later));
  torn = 0;
  read_again();
  for (const Key& k : {key, name, later}) {
    const auto entry = pair.receiver.index->get(k);
    ASSERT_TRUE(entry) << k.name;
    EXPECT_EQ(entry->attr.content, digest_of_blocks(blocks_of(file().bytes))) << k.name;
    EXPECT_EQ(entry->attr.link, pair.tree.index->get(k)->attr.link) << k.name;
  }
}

TEST_P(StableReads, ItMayGoBeforeItHoldsStill) {
  torn = always;
  edit();
  pair.settle();
  ++pair.tree.now.value;
  pair.tree.remove(key);
  pair.sender->on_cut(pair.batch());
  pair.settle();
  read_again();
  EXPECT_FALSE(pair.receiver.index->contains(key));
  EXPECT_FALSE(pair.sender->status().owes);
  pair.expect_equal();
}

TEST_P(StableReads, AReplacementIsAnotherFile) {
  torn = always;
  edit();
  pair.settle();
  torn = 0;
  edit(false);
  pair.settle();
  EXPECT_TRUE(theirs() == next);
  EXPECT_EQ(pair.sender->status().torn_reads, 0);
}

INSTANTIATE_TEST_SUITE_P(Sizes, StableReads, ::testing::Values(large, small));

// A log that is appended while it is sent costs what is new, and is in order on the replica.
TEST(StableAppend, WhatIsAppendedMeanwhileFollowsAsADifference) {
  Pair pair;
  std::mt19937_64 rng{4};
  const Key key{root_dir, "log"};
  pair.tree.write(key, random_bytes(rng, 2 << 20));
  pair.first_sync();
  pair.start(PlanMode::in_sync);
  pair.tree.touched.clear();
  const auto append = [&](ScriptedFile& f, size_t bytes) {
    f.bytes += random_bytes(rng, bytes);
    f.attr.size = f.bytes.size();
    ++f.ctime;
    ++f.attr.mtime.seconds;
  };
  const auto cut = [&] {
    ++pair.tree.now.value;
    Attributes attr = pair.tree.source.files[key]->attr;
    attr.size = pair.tree.source.files[key]->bytes.size();
    pair.tree.put(key, attr, pair.tree.source.files[key]->inode);
    pair.sender->on_cut(pair.batch());
  };
  ScriptedFile& file = *pair.tree.source.files[key];
  int more = 5;
  file.on_read = [&](ScriptedFile& f) {
    if (more-- > 0) append(f, 10'000);
  };
  append(file, 100'000);
  cut();
  pair.settle();
  EXPECT_TRUE(pair.dirty.contains(key)) << "there is more by now";
  const std::string theirs = pair.receiver.contents[pair.receiver.index->get(key)->attr.content];
  EXPECT_GE(theirs.size(), (2u << 20) + 100'000);
  EXPECT_TRUE(file.bytes.starts_with(theirs));
  cut();
  pair.settle();
  pair.expect_equal();
  EXPECT_EQ(pair.sender->status().hot_files, 0u);
  EXPECT_LE(pair.sender->counters().literal_bytes, 150'000 + limits::block_bytes);
}

}  // namespace
}  // namespace repl::send
