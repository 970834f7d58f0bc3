// A first sync under way: what is changed meanwhile does not wait for the whole tree.
#include <gtest/gtest.h>

#include <string>

#include "engine/base/limits.h"
#include "tests/unit/send/sender_pair.h"

namespace repl::send {
namespace {

// Many small files, and a first sync that is under way with them.
struct FirstSync : ::testing::Test {
  static constexpr int files = 10'000;
  std::mt19937_64 rng{7};
  Pair pair;
  DirId deep;

  void SetUp() override {
    for (int i = 0; i < files; ++i)
      pair.tree.write(at_root("f" + std::to_string(i)), random_bytes(rng, 2000));
    pair.tree.mkdir(root_dir, "z");
    const DirId z = pair.tree.index->get(at_root("z"))->attr.dir;
    pair.tree.mkdir(z, "deep");
    deep = pair.tree.index->get(Key{z, "deep"})->attr.dir;
  }
  void begin(bool strict) {
    pair.start(PlanMode::first_sync, {}, false, strict);
    pair.tree.touched.clear();
    ++pair.tree.now.value;
    pair.run_until([&] { return pair.sender->status().files_done > 100; });
  }
  void cut() {
    pair.sender->on_cut(pair.batch());
    ++pair.tree.now.value;
  }
  size_t there() {
    size_t n = 0;
    pair.receiver.index->for_children(root_dir, [&](std::string_view, const Entry&) {
      ++n;
      return true;
    });
    return n;
  }
  void all_equal() {
    pair.settle();
    if (pair.sender->prove()) pair.settle();
    pair.expect_equal();
    EXPECT_EQ(pair.sender->status().mismatches, 0u);
  }
};

TEST_F(FirstSync, ALoneChangeDoesNotWaitForTheTree) {
  begin(false);
  const Key lone{deep, "lone"};
  for (int i = 0; i < 5; ++i) {
    pair.tree.write(lone, "version " + std::to_string(i));
    cut();
    EXPECT_FALSE(pair.sender->busy());
    const Digest ours = pair.tree.index->get(lone)->attr.content;
    pair.run_until([&] {
      const auto theirs = pair.receiver.index->get(lone);
      return theirs && theirs->attr.content == ours;
    });
    ASSERT_LT(there(), files / 2) << i;
  }
  all_equal();
}

TEST_F(FirstSync, WhatWasRemovedMeanwhileIsRemoved) {
  begin(false);
  pair.tree.write(Key{deep, "made"}, "made");
  cut();
  pair.run_until([&] { return pair.receiver.index->contains(Key{deep, "made"}); });
  ASSERT_LT(there(), files / 2);
  pair.tree.remove(Key{deep, "made"});
  pair.tree.remove(at_root("f0"));
  pair.tree.write(at_root("f" + std::to_string(files - 1)), "newer");
  cut();
  all_equal();
  EXPECT_FALSE(pair.receiver.index->contains(Key{deep, "made"}));
}

TEST_F(FirstSync, AStormWaits) {
  begin(false);
  for (size_t i = 0; i <= limits::early_keys_max; ++i)
    pair.tree.write(Key{deep, std::to_string(i)}, "storm");
  cut();
  pair.run_until([&] { return pair.sender->status().files_done > files / 2; });
  EXPECT_EQ(there(), 0u);
  all_equal();
}

TEST_F(FirstSync, InStrictOrderALoneChangeWaits) {
  begin(true);
  pair.tree.write(at_root("lone"), "lone");
  cut();
  pair.run_until([&] { return pair.sender->status().files_done > files / 2; });
  EXPECT_EQ(there(), 0u);
  all_equal();
}

}  // namespace
}  // namespace repl::send
