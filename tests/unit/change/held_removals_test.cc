#include "engine/change/held_removals.h"

#include <algorithm>
#include <set>

#include "tests/unit/index/index_fixture.h"

namespace repl::change {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr uint64_t root = root_dir.value;

// A directory `d` (id 10) of 8 files (inodes 100 to 107) and, in the root, `a` to `h`.
class HeldRemovalsTest : public IndexTest {
 protected:
  void SetUp() override {
    open();
    index_->put(root_key, dir_entry(1, root));
    index_->put(at(root, "d"), dir_entry(1, 10));
    for (int i = 0; i < 8; ++i) {
      index_->put(at(10, "f" + std::to_string(i)), file_entry(1, 3, 7, 100 + i));
      index_->put(at(root, std::string(1, static_cast<char>('a' + i)) + "-file"),
                  file_entry(1, 3, 7, 200 + i));
    }
    make();
  }
  void make() {
    held_ = std::make_unique<HeldRemovals>(
        *index_, DeleteLimits{.on = true, .entries = 4, .percent = 30}, clock_, log_, "t");
    held_->begin();
  }
  std::vector<Key> judge(std::set<Key> gone) {
    std::vector<Key> go = held_->judge(gone);
    for (const Key& key : go) index_->remove(key, CutNumber{2});
    return go;
  }

  SystemClock clock_;
  NullLog log_;
  std::unique_ptr<HeldRemovals> held_;
};

TEST_F(HeldRemovalsTest, AFewGo) {
  const std::set<Key> few{at(root, "a-file"), at(root, "b-file"), at(10, "f0")};
  EXPECT_EQ(judge(few).size(), 3U);
  EXPECT_TRUE(held_->empty());
}

TEST_F(HeldRemovalsTest, ADirectoryCountsWithWhatIsInIt) {
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty());
  EXPECT_EQ(held_->entries(), 9U);
  EXPECT_TRUE(held_->covers(at(10, "f3")));
  EXPECT_TRUE(held_->covers(DirId{10}));
  EXPECT_FALSE(held_->covers(at(root, "a-file")));
  EXPECT_THAT(held_->settle(true), ElementsAre(at(root, "d")));
  EXPECT_THAT(held_->settle(true), IsEmpty()) << "told once";
}

TEST_F(HeldRemovalsTest, WhatIsInADirectoryThatGoesCountsOnce) {
  std::set<Key> gone{at(root, "d")};
  for (int i = 0; i < 8; ++i) gone.insert(at(10, "f" + std::to_string(i)));
  EXPECT_THAT(judge(gone), IsEmpty());
  EXPECT_EQ(held_->entries(), 9U);
  EXPECT_EQ(held_->keys().size(), 1U);
}

// Leaf by leaf, then the directory: one key stands for all.
TEST_F(HeldRemovalsTest, ADirectoryTakesTheHeldKeysInIt) {
  std::set<Key> files;
  for (int i = 0; i < 7; ++i) files.insert(at(10, "f" + std::to_string(i)));
  EXPECT_THAT(judge(files), IsEmpty());
  EXPECT_EQ(held_->keys().size(), 7U);
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty());
  EXPECT_EQ(held_->keys().size(), 1U);
  EXPECT_EQ(held_->entries(), 9U);
}

TEST_F(HeldRemovalsTest, WhatWentBeforeCounts) {
  EXPECT_EQ(judge({at(root, "a-file"), at(root, "b-file"), at(root, "c-file")}).size(), 3U);
  EXPECT_EQ(judge({at(root, "d")}).size(), 0U);
  EXPECT_EQ(held_->entries(), 9U);
}

TEST_F(HeldRemovalsTest, OneMoreIsHeldWithTheOthers) {
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty());
  EXPECT_THAT(judge({at(root, "a-file")}), IsEmpty());
  EXPECT_EQ(held_->entries(), 10U);
}

TEST_F(HeldRemovalsTest, WhatIsThereAgainIsNotHeld) {
  EXPECT_THAT(judge({at(root, "d"), at(root, "a-file")}), IsEmpty());
  held_->present(at(root, "d"));
  EXPECT_FALSE(held_->covers(at(10, "f0")));
  EXPECT_EQ(held_->entries(), 1U);
  EXPECT_TRUE(held_->engaged()) << "what remains is held, however little";
  held_->present(at(root, "a-file"));
  static_cast<void>(held_->settle(true));
  EXPECT_FALSE(held_->engaged());
  EXPECT_EQ(judge({at(root, "a-file")}).size(), 1U);
}

// Renames are no removals: what counts is how much smaller the tree becomes.
TEST_F(HeldRemovalsTest, RenamedFilesGoFromTheirOldNames) {
  std::set<Key> old;
  for (int i = 0; i < 8; ++i) {
    index_->put(at(root, "new" + std::to_string(i)), file_entry(2, 3, 7, 100 + i));
    old.insert(at(10, "f" + std::to_string(i)));
  }
  EXPECT_EQ(judge(old).size(), 8U);
}

// Also among others that are held, and out of a directory that is held.
TEST_F(HeldRemovalsTest, WhatHasAnotherNameIsNoLoss) {
  index_->put(at(root, "kept"), file_entry(2, 3, 7, 103));
  EXPECT_THAT(judge({at(root, "d"), at(root, "a-file")}), ElementsAre(at(10, "f3")));
  EXPECT_EQ(held_->entries(), 9U);
  EXPECT_FALSE(index_->contains(at(10, "f3")));
  // Found under a new name later on.
  index_->put(at(root, "found"), file_entry(3, 3, 7, 104));
  EXPECT_THAT(judge({at(10, "f4")}), ElementsAre(at(10, "f4")));
  EXPECT_TRUE(index_->contains(at(10, "f5")));
}

TEST_F(HeldRemovalsTest, ANameThatGoesTooIsNoOtherName) {
  index_->put(at(root, "link"), file_entry(2, 3, 7, 103));
  EXPECT_THAT(judge({at(root, "d"), at(root, "link")}), IsEmpty());
  EXPECT_EQ(held_->entries(), 10U);
}

// A restored or reused inode number is another file.
TEST_F(HeldRemovalsTest, AnotherBirthIsAnotherFile) {
  Entry other = file_entry(2, 3, 7, 103);
  other.local.birth.seconds = 5;
  index_->put(at(root, "other"), other);
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty());
}

TEST_F(HeldRemovalsTest, WhatWasMadeSinceComesAndGoes) {
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty());
  Entry young = file_entry(2, 3, 7, 300);
  young.local.birth.seconds = clock_.wall_ns() / 1'000'000'000 + 100;
  index_->put(at(root, "scratch"), young);
  EXPECT_THAT(judge({at(root, "scratch")}), ElementsAre(at(root, "scratch")));
}

TEST_F(HeldRemovalsTest, ApprovedRemovalsGoAndCountNoMore) {
  EXPECT_THAT(judge({at(root, "d"), at(root, "a-file")}), IsEmpty());
  EXPECT_THAT(held_->approve(), UnorderedElementsAre(at(root, "d"), at(root, "a-file")));
  EXPECT_TRUE(held_->empty());
  held_->begin();
  EXPECT_EQ(judge({at(root, "b-file")}).size(), 1U) << "before the approved are looked at";
  EXPECT_EQ(judge({at(root, "d"), at(root, "a-file")}).size(), 2U);
  held_->begin();
  EXPECT_EQ(judge({at(root, "c-file")}).size(), 1U);
  EXPECT_FALSE(held_->engaged());
}

TEST_F(HeldRemovalsTest, AnApprovedKeyThatIsThereAgainIsOrdinary) {
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty());
  static_cast<void>(held_->approve());
  held_->present(at(root, "d"));
  held_->begin();
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty()) << "gone once more, and asked once more";
}

// Of nine of seventeen three went before: alone what is left would not be a mass delete.
TEST_F(HeldRemovalsTest, AfterARestartAllThatIsMissingIsHeld) {
  EXPECT_EQ(judge({at(10, "f0"), at(10, "f1"), at(10, "f2"), at(10, "f3")}).size(), 4U);
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty());
  held_->present(at(root, "d"));
  EXPECT_THAT(judge({at(10, "f4"), at(10, "f5")}), IsEmpty());
  flush();
  make();
  EXPECT_TRUE(held_->engaged());
  EXPECT_THAT(judge({at(10, "f4"), at(10, "f5")}), IsEmpty());
  held_->scanned();
  static_cast<void>(held_->settle(true));
  EXPECT_EQ(held_->entries(), 2U);
  static_cast<void>(held_->approve());
  flush();
  make();
  EXPECT_FALSE(held_->engaged());
  EXPECT_EQ(judge({at(10, "f4"), at(10, "f5")}).size(), 2U);
}

TEST_F(HeldRemovalsTest, AfterARestartThatFindsAllAgainNothingIsHeld) {
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty());
  flush();
  make();
  static_cast<void>(held_->settle(true));
  EXPECT_TRUE(held_->engaged()) << "not before it has scanned";
  held_->scanned();
  static_cast<void>(held_->settle(true));
  EXPECT_FALSE(held_->engaged());
}

TEST_F(HeldRemovalsTest, AnObjectInTheOldOnesPlaceWaitsIfThatMayNotGo) {
  EXPECT_FALSE(held_->may_replace(at(root, "d"), *index_->get(at(root, "d"))));
  EXPECT_TRUE(held_->covers(at(10, "f0")));
  EXPECT_EQ(held_->entries(), 9U);
  EXPECT_TRUE(held_->keys().at(at(root, "d")).replaced);
  EXPECT_FALSE(held_->may_replace(at(root, "d"), *index_->get(at(root, "d"))));
  static_cast<void>(held_->approve());
  EXPECT_TRUE(held_->may_replace(at(root, "d"), *index_->get(at(root, "d"))));
}

TEST_F(HeldRemovalsTest, AnEmptyDirectoryMayBeReplaced) {
  index_->put(at(root, "empty"), dir_entry(1, 11));
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty());
  EXPECT_TRUE(held_->may_replace(at(root, "empty"), *index_->get(at(root, "empty"))));
}

// A directory of which some is held is removed for good: nothing of it stays behind in the count.
TEST_F(HeldRemovalsTest, ADirectoryThatGoesTakesWhatIsHeldInIt) {
  index_->put(at(10, "below"), dir_entry(1, 12));
  for (int i = 0; i < 8; ++i) index_->put(at(12, std::to_string(i)), file_entry(1, 3, 7, 400 + i));
  held_->begin();
  EXPECT_THAT(judge({at(10, "below")}), IsEmpty());
  EXPECT_EQ(held_->entries(), 9U);
  held_->approve({at(root, "d")});
  EXPECT_EQ(judge({at(root, "d")}).size(), 1U);
  held_->begin();
  EXPECT_TRUE(held_->empty());
  EXPECT_EQ(held_->entries(), 0U);
}

TEST_F(HeldRemovalsTest, UnknownContentsAreCounted) {
  index_->put(at(10, "unread"), file_entry(1, 3, 0, 500));
  EXPECT_THAT(judge({at(root, "d")}), IsEmpty());
  EXPECT_EQ(held_->unknown(), 1U);
  held_->present(at(root, "d"));
  EXPECT_EQ(held_->unknown(), 0U);
}

TEST_F(HeldRemovalsTest, OffLetsEverythingGo) {
  held_ = std::make_unique<HeldRemovals>(*index_, DeleteLimits{.on = false}, clock_, log_, "t");
  held_->begin();
  EXPECT_EQ(judge({at(root, "d")}).size(), 1U);
}

}  // namespace
}  // namespace repl::change
