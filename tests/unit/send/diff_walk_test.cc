// A DiffWalk between two real indexes. REPL_TEST_SEED replays a seed.
#include "engine/send/diff_walk.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "tests/unit/send/diff_pair.h"

namespace repl::send {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(DiffWalk, EqualTreesCostOneRoundTrip) {
  DiffPair pair;
  for (const TempIndex* index : {&pair.here, &pair.peer}) {
    set(*index, root_dir, "d", diff_dir(DirId{5}));
    set(*index, DirId{5}, "f", diff_file(1));
  }
  pair.run();
  EXPECT_EQ(pair.asks, 1u);
  EXPECT_EQ(pair.listed, 0u);
  EXPECT_TRUE(pair.walk->counts().equal());
}

TEST(DiffWalk, OtherIdsAreNoDifference) {
  DiffPair pair;
  set(pair.here, root_dir, "d", diff_dir(DirId{5}));
  set(pair.peer, root_dir, "d", diff_dir(DirId{6}));
  pair.run();
  EXPECT_EQ(pair.asks, 1u);
  EXPECT_TRUE(pair.walk->counts().equal());
}

TEST(DiffWalk, EachKindOfDifferenceIsTold) {
  DiffPair pair;
  set(pair.here, root_dir, "same", diff_file(1));
  set(pair.peer, root_dir, "same", diff_file(1));
  set(pair.here, root_dir, "content", diff_file(1, 5));
  set(pair.peer, root_dir, "content", diff_file(2, 5));
  set(pair.here, root_dir, "size", diff_file(0, 5));
  set(pair.peer, root_dir, "size", diff_file(0, 6));
  set(pair.here, root_dir, "unknown", diff_file(0, 5));
  set(pair.peer, root_dir, "unknown", diff_file(3, 5));
  set(pair.here, root_dir, "mode", diff_file(1));
  Attributes mode = diff_file(1);
  mode.mode = 0600;
  set(pair.peer, root_dir, "mode", mode);
  set(pair.here, root_dir, "here", diff_file(1, 7));
  set(pair.peer, root_dir, "peer", diff_file(1, 9));
  set(pair.here, root_dir, "dir", diff_dir(DirId{8}));
  Attributes dir = diff_dir(DirId{9});
  dir.mode = 0700;
  set(pair.peer, root_dir, "dir", dir);
  pair.run();
  EXPECT_THAT(pair.lines(),
              ElementsAre("attributes dir", "attributes mode", "content content", "content size",
                          "content unknown", "here here", "peer peer"));
  EXPECT_EQ(pair.walk->counts().unknown, 1u);
  EXPECT_EQ(pair.walk->counts().of(DiffChange::only_here).bytes, 7u);
  EXPECT_EQ(pair.walk->counts().of(DiffChange::only_peer).bytes, 9u);
  EXPECT_EQ(pair.walk->counts().of(DiffChange::content).bytes, 16u);
  DiffCheck(pair).run();
}

TEST(DiffWalk, RootAttributesAreCompared) {
  DiffPair pair;
  set_root(pair.peer, 0700);
  pair.run();
  EXPECT_THAT(pair.lines(), ElementsAre("attributes "));
  EXPECT_EQ(pair.items[0].key, root_key);
}

TEST(DiffWalk, PeerWithoutARootRecordHasNothing) {
  TempIndex empty;
  DiffPair pair;
  std::swap(pair.peer.index, empty.index);
  std::swap(pair.peer.path, empty.path);
  set(pair.here, root_dir, "f", diff_file(1));
  pair.run();
  EXPECT_THAT(pair.lines(), ElementsAre("here f"));
  EXPECT_EQ(pair.walk->counts().changed_meanwhile, 0u);
}

TEST(DiffWalk, OnlyWhatDiffersIsListed) {
  DiffPair pair;
  for (uint64_t i = 0; i < 50; ++i) {
    for (const TempIndex* index : {&pair.here, &pair.peer}) {
      set(*index, root_dir, "d" + std::to_string(i), diff_dir(DirId{100 + i}));
      set(*index, DirId{100 + i}, "f", diff_file(1));
    }
  }
  set(pair.here, DirId{120}, "f", diff_file(2));
  pair.run();
  EXPECT_THAT(pair.lines(), ElementsAre("content d20/f"));
  EXPECT_EQ(pair.listed, 2u);
  EXPECT_EQ(pair.asks, 3u);
}

TEST(DiffWalk, WhatOnlyOneSideHasCountsToItsLeaves) {
  DiffPair pair;
  set(pair.here, root_dir, "h", diff_dir(DirId{5}));
  set(pair.here, DirId{5}, "i", diff_dir(DirId{6}));
  set(pair.here, DirId{6}, "f", diff_file(1));
  set(pair.peer, root_dir, "p", diff_dir(DirId{15}));
  set(pair.peer, DirId{15}, "q", diff_dir(DirId{16}));
  set(pair.peer, DirId{16}, "f", diff_file(1));
  pair.run();
  EXPECT_THAT(pair.lines(),
              ElementsAre("here h", "here h/i", "here h/i/f", "peer p", "peer p/q", "peer p/q/f"));
  DiffCheck(pair).run();
}

TEST(DiffWalk, AnotherTypeIsOneAndWhatIsBelowIsOnlyThere) {
  DiffPair pair;
  set(pair.here, root_dir, "a", diff_dir(DirId{5}));
  set(pair.here, DirId{5}, "f", diff_file(1));
  set(pair.peer, root_dir, "a", diff_file(1));
  set(pair.here, root_dir, "b", diff_file(1));
  set(pair.peer, root_dir, "b", diff_dir(DirId{6}));
  set(pair.peer, DirId{6}, "f", diff_file(1));
  pair.run();
  EXPECT_THAT(pair.lines(), ElementsAre("here a/f", "peer b/f", "type a", "type b"));
  DiffCheck(pair).run();
}

TEST(DiffWalk, MovedDirectoryIsToldOnceAndNotListedWhenItIsTheSame) {
  DiffPair pair;
  set(pair.here, root_dir, "new", diff_dir(DirId{5}));
  set(pair.peer, root_dir, "old", diff_dir(DirId{5}));
  for (const TempIndex* index : {&pair.here, &pair.peer}) set(*index, DirId{5}, "f", diff_file(1));
  pair.run();
  EXPECT_THAT(pair.lines(), ElementsAre("moved new<-old"));
  EXPECT_EQ(pair.listed, 1u);
  DiffCheck(pair).run();
}

TEST(DiffWalk, MovedDirectoryIsFoundHoweverLateThePeerListsIt) {
  DiffPair pair;
  set(pair.here, root_dir, "new", diff_dir(DirId{5}));
  set(pair.here, root_dir, "a", diff_dir(DirId{4}));
  set(pair.peer, root_dir, "a", diff_dir(DirId{4}));
  set(pair.peer, DirId{4}, "old", diff_dir(DirId{5}));
  pair.run();
  EXPECT_THAT(pair.lines(), ElementsAre("moved new<-a/old"));
  DiffCheck(pair).run();
}

TEST(DiffWalk, MovedDirectoryIsComparedWhereItHangs) {
  DiffPair pair;
  set(pair.here, root_dir, "p", diff_dir(DirId{4}));
  set(pair.here, DirId{4}, "new", diff_dir(DirId{5}));
  Attributes old = diff_dir(DirId{5});
  old.mode = 0700;
  set(pair.peer, root_dir, "old", old);
  set(pair.here, DirId{5}, "f", diff_file(1));
  set(pair.peer, DirId{5}, "f", diff_file(2));
  set(pair.peer, DirId{5}, "g", diff_file(2));
  pair.run();
  EXPECT_THAT(pair.lines(), ElementsAre("attributes p/new", "content p/new/f", "here p",
                                        "moved p/new<-old", "peer old/g"));
  DiffCheck(pair).run();
}

TEST(DiffWalk, DirectoriesThatChangedNamesArePairedByName) {
  DiffPair pair;
  set(pair.here, root_dir, "a", diff_dir(DirId{5}));
  set(pair.here, root_dir, "b", diff_dir(DirId{6}));
  set(pair.peer, root_dir, "a", diff_dir(DirId{6}));
  set(pair.peer, root_dir, "c", diff_dir(DirId{5}));
  for (const TempIndex* index : {&pair.here, &pair.peer}) set(*index, DirId{5}, "f", diff_file(1));
  pair.run();
  EXPECT_THAT(pair.lines(), ElementsAre("here a/f", "here b", "peer c", "peer c/f"));
  DiffCheck(pair).run();
}

TEST(DiffWalk, HugeDirectoriesArriveInSeveralParts) {
  DiffPair pair;
  const size_t count = 2 * limits::records_per_message_max + 100;
  for (size_t i = 0; i < count; ++i) {
    const std::string name = std::to_string(i);
    if (i % 1000 != 0) set(pair.here, root_dir, name, diff_file(1 + (i % 700 == 1 ? 1 : 0)));
    if (i % 900 != 0) set(pair.peer, root_dir, name, diff_file(1));
  }
  pair.run();
  EXPECT_EQ(pair.listed, 1u);
  DiffCheck(pair).run();
}

TEST(DiffWalk, ManyDirectoriesAreAskedTogetherAndWithinBounds) {
  DiffPair pair;
  const size_t count = 3 * dirs_asked_max;
  for (uint64_t i = 0; i < count; ++i) {
    set(pair.here, root_dir, "d" + std::to_string(i), diff_dir(DirId{10 + i}));
    set(pair.peer, root_dir, "d" + std::to_string(i), diff_dir(DirId{10 + i}));
    set(pair.peer, DirId{10 + i}, "f", diff_file(1));
  }
  pair.run();
  EXPECT_EQ(pair.count(DiffChange::only_peer), count);
  EXPECT_EQ(pair.waiting_max, dirs_asked_max);
  EXPECT_EQ(pair.asks, 2 + count / dirs_per_ask);
}

TEST(DiffWalk, ManyDirectoriesDifferInTheirAttributes) {
  DiffPair pair;
  const size_t count = 3 * limits::keys_per_ask_max;
  for (uint64_t i = 0; i < count; ++i) {
    set(pair.here, root_dir, "d" + std::to_string(i), diff_dir(DirId{10 + i}));
    Attributes theirs = diff_dir(DirId{10 + i});
    theirs.mode = 0700;
    set(pair.peer, root_dir, "d" + std::to_string(i), theirs);
  }
  pair.run();
  EXPECT_EQ(pair.count(DiffChange::attributes), count);
  DiffCheck(pair).run();
}

TEST(DiffWalk, ItemsAreBoundedAndCountsAreExact) {
  DiffPair pair;
  for (uint64_t i = 0; i < 20; ++i) set(pair.peer, root_dir, std::to_string(i), diff_file(1, 3));
  set(pair.peer, root_dir, "d", diff_dir(DirId{5}));
  set(pair.peer, DirId{5}, "f", diff_file(1, 3));
  pair.run({.items = 7});
  EXPECT_EQ(pair.items.size(), 7u);
  EXPECT_TRUE(pair.walk->counts().truncated);
  EXPECT_EQ(pair.count(DiffChange::only_peer), 22u);
  EXPECT_EQ(pair.walk->counts().of(DiffChange::only_peer).bytes, 63u);
  pair.run({.items = 22});
  EXPECT_EQ(pair.items.size(), 22u);
  EXPECT_FALSE(pair.walk->counts().truncated);
  pair.run({.item_bytes = 5});
  EXPECT_EQ(pair.items.size(), 3u);  // 0 1 10, and one byte is left for 11
  EXPECT_TRUE(pair.walk->counts().truncated);
  EXPECT_EQ(pair.count(DiffChange::only_peer), 22u);
}

TEST(DiffWalk, DeepTreesAreWalked) {
  DiffPair pair;
  DirId dir = root_dir;
  const uint64_t depth = 2'000;
  for (uint64_t i = 0; i < depth; ++i) {
    set(pair.peer, dir, "d", diff_dir(DirId{10 + i}));
    dir = DirId{10 + i};
  }
  pair.run();
  EXPECT_EQ(pair.count(DiffChange::only_peer), depth);
  EXPECT_EQ(pair.items.size(), depth);
}

// --- random trees ---

uint64_t seed_given() {
  const char* given = std::getenv("REPL_TEST_SEED");
  return given ? std::strtoull(given, nullptr, 10) : 0;
}

void random_pair(uint64_t seed, uint64_t shift) {
  SCOPED_TRACE("REPL_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 rng(seed);
  DiffPair pair;
  RandomTree ours(pair.here, rng, 1000);
  RandomTree theirs(pair.peer, rng, 1'000'000);
  for (uint64_t i = 5 + rng() % 80; i > 0; --i) ours.add();
  theirs.copy(*pair.here.index, shift);
  pair.run();
  EXPECT_TRUE(pair.walk->counts().equal());
  EXPECT_EQ(pair.asks, 1u);
  for (uint64_t i = rng() % 12; i > 0; --i) ours.change();
  for (uint64_t i = rng() % 12; i > 0; --i) theirs.change();
  if (rng() % 8 == 0) set_root(pair.peer, 0700);
  pair.run();
  DiffCheck(pair).run();
  if (shift != 0) {
    EXPECT_EQ(pair.count(DiffChange::moved), 0u);
  }
  // In any order of delivery.
  const auto lines = pair.lines();
  pair.start();
  while (!pair.walk->done()) {
    switch (rng() % 3) {
      case 0:
        static_cast<void>(pair.walk->step());
        break;
      case 1:
        static_cast<void>(pair.answer());
        break;
      default:
        static_cast<void>(pair.deliver());
    }
  }
  EXPECT_EQ(lines.size(), pair.lines().size());
  DiffCheck(pair).run();
}

TEST(DiffWalkRandom, TreesOfOneOrigin) {
  if (const uint64_t seed = seed_given()) return random_pair(seed, 0);
  for (uint64_t seed = 1; seed <= 100 && !testing::Test::HasFailure(); ++seed) random_pair(seed, 0);
}

TEST(DiffWalkRandom, TreesUnderOtherIds) {
  if (const uint64_t seed = seed_given()) return random_pair(seed, 50'000);
  for (uint64_t seed = 1; seed <= 50 && !testing::Test::HasFailure(); ++seed)
    random_pair(seed, 50'000);
}

TEST(DiffWalkRandom, TreesThatChangeMeanwhileEndTheWalk) {
  for (uint64_t seed = 1; seed <= 50 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng(seed);
    DiffPair pair;
    RandomTree ours(pair.here, rng, 1000);
    RandomTree theirs(pair.peer, rng, 1'000'000);
    for (uint64_t i = 0; i < 60; ++i) ours.add();
    theirs.copy(*pair.here.index, 0);
    for (uint64_t i = 0; i < 10; ++i) theirs.change();
    pair.start();
    for (uint64_t steps = 0; !pair.walk->done() && steps < 100'000; ++steps) {
      switch (rng() % 5) {
        case 0:
          static_cast<void>(pair.walk->step());
          break;
        case 1:
          static_cast<void>(pair.answer());
          break;
        case 2:
          static_cast<void>(pair.deliver());
          break;
        case 3:
          ours.change();
          break;
        default:
          theirs.change();
      }
      if (steps > 500) pair.finish();
    }
    EXPECT_TRUE(pair.walk->done());
    pair.run();
    DiffCheck(pair).run();
  }
}

// --- what changes meanwhile ---

TEST(DiffWalkChanging, FileThatChangesAfterTheHashIsNotAnAttributeOfItsDirectory) {
  DiffPair pair;
  set(pair.peer, root_dir, "f", diff_file(1));
  pair.start();
  EXPECT_TRUE(pair.answer());  // the root's hash
  set(pair.peer, root_dir, "g", diff_file(1));
  pair.finish();
  EXPECT_THAT(pair.lines(), ElementsAre("peer f", "peer g"));
  EXPECT_EQ(pair.walk->counts().changed_meanwhile, 1u);
  EXPECT_FALSE(pair.walk->counts().equal());
}

TEST(DiffWalkChanging, DirectoryThatThePeerLostIsSkipped) {
  DiffPair pair;
  set(pair.here, root_dir, "d", diff_dir(DirId{5}));
  set(pair.peer, root_dir, "d", diff_dir(DirId{5}));
  set(pair.peer, DirId{5}, "f", diff_file(1));
  set(pair.here, root_dir, "z", diff_file(1));
  pair.start();
  EXPECT_TRUE(pair.answer() && pair.deliver() && pair.walk->step());
  EXPECT_TRUE(pair.answer() && pair.deliver());  // the root's listing
  pair.peer->remove(Key{.dir = root_dir, .name = "d"}, CutNumber{3});
  pair.finish();
  EXPECT_THAT(pair.lines(), ElementsAre("here z"));
  EXPECT_EQ(pair.walk->counts().changed_meanwhile, 1u);
}

TEST(DiffWalkChanging, DirectoryThatVanishedHereIsSkipped) {
  DiffPair pair;
  set(pair.here, root_dir, "d", diff_dir(DirId{5}));
  set(pair.here, root_dir, "e", diff_dir(DirId{6}));
  set(pair.peer, root_dir, "d", diff_dir(DirId{5}));
  set(pair.peer, DirId{5}, "f", diff_file(1));
  pair.start();
  EXPECT_TRUE(pair.answer() && pair.deliver() && pair.walk->step());
  EXPECT_TRUE(pair.answer() && pair.deliver());  // the root's listing
  EXPECT_TRUE(pair.walk->step());
  pair.here->remove(Key{.dir = root_dir, .name = "d"}, CutNumber{3});
  pair.here->remove(Key{.dir = root_dir, .name = "e"}, CutNumber{3});
  pair.finish();
  EXPECT_THAT(pair.lines(), IsEmpty());
  EXPECT_EQ(pair.walk->counts().changed_meanwhile, 2u);
}

// --- a hostile peer ---

class HostilePeer : public testing::Test {
 protected:
  HostilePeer() {
    set(pair_.here, root_dir, "b", diff_file(1));
    pair_.start();
  }
  KeyInfo info(std::string name, FileType type = FileType::regular, DirId dir = {}) {
    return KeyInfo{.name = std::move(name), .type = type, .hash = {1, 2}, .dir = dir};
  }
  void root() {
    ASSERT_TRUE(pair_.walk->on_answer(
        KeysAnswer{.keys = {root_key}, .infos = {info("", FileType::directory, root_dir)}}));
    ASSERT_TRUE(pair_.walk->step());
  }
  void expect_breach(const Status& status) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::protocol) << status.error().message;
    EXPECT_EQ(status.error().remedy, Remedy::reconnect);
  }
  DirectoryListing listing(std::vector<KeyInfo> children, bool last = true) {
    return DirectoryListing{.dir = root_dir, .last = last, .children = std::move(children)};
  }
  DiffPair pair_;
};

TEST_F(HostilePeer, AnswersWhatWasNotAsked) {
  DiffWalk& walk = *pair_.walk;
  expect_breach(walk.on_listing(listing({})));
  expect_breach(walk.on_answer(KeysAnswer{}));
  expect_breach(walk.on_answer(KeysAnswer{.keys = {root_key}}));
  expect_breach(
      walk.on_answer(KeysAnswer{.keys = {Key{.dir = root_dir, .name = "b"}}, .infos = {info("")}}));
  expect_breach(
      walk.on_answer(KeysAnswer{.keys = {root_key, root_key}, .infos = {KeyInfo{}, KeyInfo{}}}));
  root();
  expect_breach(walk.on_answer(KeysAnswer{.keys = {root_key}, .infos = {KeyInfo{}}}));
  expect_breach(walk.on_answer(KeysAnswer{}));
  expect_breach(walk.on_listing(DirectoryListing{.dir = DirId{9}}));
}

TEST_F(HostilePeer, RootIsAFile) {
  expect_breach(pair_.walk->on_answer(KeysAnswer{.keys = {root_key}, .infos = {info("")}}));
}

TEST_F(HostilePeer, ListsOutOfOrder) {
  root();
  expect_breach(pair_.walk->on_listing(listing({info("b"), info("a")})));
}

TEST_F(HostilePeer, ListsOutOfOrderInTwoParts) {
  root();
  ASSERT_TRUE(pair_.walk->on_listing(listing({info("b")}, false)));
  expect_breach(pair_.walk->on_listing(listing({info("b")})));
}

TEST_F(HostilePeer, ListsNamesThatCannotBe) {
  root();
  for (const char* name : {"", ".", "..", "a/b"})
    expect_breach(pair_.walk->on_listing(listing({info(name)})));
}

TEST_F(HostilePeer, ListsWhatIsNotThere) {
  root();
  expect_breach(pair_.walk->on_listing(listing({info("a", FileType::none)})));
}

TEST_F(HostilePeer, ListsDirectoriesThatCannotBe) {
  root();
  expect_breach(pair_.walk->on_listing(listing({info("a", FileType::directory)})));
  expect_breach(pair_.walk->on_listing(listing({info("a", FileType::directory, root_dir)})));
}

TEST_F(HostilePeer, NeverEndsAListing) {
  root();
  expect_breach(pair_.walk->on_listing(listing({}, false)));
}

TEST_F(HostilePeer, TakesBackADirectoryInTheMiddle) {
  root();
  ASSERT_TRUE(pair_.walk->on_listing(listing({info("a")}, false)));
  expect_breach(pair_.walk->on_listing(DirectoryListing{.dir = root_dir, .known = false}));
}

TEST_F(HostilePeer, ListsWhatItDoesNotKnow) {
  root();
  DirectoryListing unknown = listing({info("a")});
  unknown.known = false;
  expect_breach(pair_.walk->on_listing(unknown));
  unknown = listing({}, false);
  unknown.known = false;
  expect_breach(pair_.walk->on_listing(unknown));
}

TEST_F(HostilePeer, HangsADirectoryBelowItself) {
  pair_.start({.entries = 1000});
  root();
  DirId dir = root_dir;
  Status status;
  size_t parts = 0;
  for (; status && parts < 2000; ++parts) {
    status = pair_.walk->on_listing(
        DirectoryListing{.dir = dir, .children = {info("d", FileType::directory, DirId{7})}});
    dir = DirId{7};
    pair_.asked.clear();
    while (pair_.walk->step()) {
    }
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::limit);
  EXPECT_EQ(parts, 1001u);
}

TEST_F(HostilePeer, IsTooDeep) {
  root();
  DirId dir = root_dir;
  Status status;
  size_t parts = 0;
  for (; status && parts < 2 * limits::index_depth_max; ++parts) {
    status = pair_.walk->on_listing(
        DirectoryListing{.dir = dir, .children = {info("d", FileType::directory, DirId{7})}});
    dir = DirId{7};
    pair_.asked.clear();
    while (pair_.walk->step()) {
    }
  }
  expect_breach(status);
  EXPECT_EQ(parts, limits::index_depth_max + 1);
}

TEST_F(HostilePeer, ListsMoreDirectoriesThanMayWait) {
  pair_.start({.dirs = 10});
  root();
  std::vector<KeyInfo> children;
  for (uint64_t i = 0; i < 11; ++i)
    children.push_back(info("d" + std::string(1, 'a' + i), FileType::directory, DirId{100 + i}));
  ASSERT_TRUE(pair_.walk->on_listing(listing(children, false)));
  const Status status = pair_.walk->on_listing(listing({info("e")}));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::limit);
}

TEST_F(HostilePeer, ListsOneDirectoryTwice) {
  set(pair_.here, root_dir, "x", diff_dir(DirId{7}));
  root();
  ASSERT_TRUE(pair_.walk->on_listing(listing(
      {info("c", FileType::directory, DirId{7}), info("d", FileType::directory, DirId{7})})));
  while (pair_.walk->step()) {
  }
  ASSERT_TRUE(pair_.walk->on_answer(
      KeysAnswer{.keys = {root_key}, .infos = {info("", FileType::directory, root_dir)}}));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(pair_.walk->on_listing(DirectoryListing{.dir = DirId{7}}));
    while (pair_.walk->step()) {
    }
  }
  EXPECT_EQ(pair_.count(DiffChange::moved), 1u);
  EXPECT_EQ(pair_.count(DiffChange::only_peer), 1u);
}

}  // namespace
}  // namespace repl::send
