#include "engine/change/cut_builder.h"

#include <fcntl.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <utility>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/model/hint_bits.h"
#include "tests/unit/index/index_fixture.h"

namespace repl::change {
namespace {

class CutBuilderTest : public IndexTest {
 protected:
  void SetUp() override {
    open();
    std::filesystem::create_directory(root());
    dirs_ = std::make_unique<io::DirCache>(
        Fd(::open(root().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)), *index_);
    make_held(DeleteLimits{});
    observer_ = std::make_unique<Observer>(
        ObserverParts{.index = *index_,
                      .dirs = *dirs_,
                      .policy = policy_,
                      .ids = ids_,
                      .reserved_name = {},
                      .may_replace = [this](const Key& key, const Entry& old) {
                        return held_->may_replace(key, old);
                      }});
    builder_ = std::make_unique<CutBuilder>(
        *observer_, *index_, *dirs_, changes_, *held_,
        CutHooks{.drain = [this] { std::exchange(on_drain_, [] {})(); },
                 .watch = [](DirId, int, std::string_view) {},
                 .unwatch = [this](DirId dir) { unwatched_.push_back(dir); }},
        clock_);
    static_cast<void>(observer_->look(root_key, 0, CutNumber{1}, Contents::read_small));
  }
  void make_held(const DeleteLimits& limits) {
    held_ = std::make_unique<HeldRemovals>(*index_, limits, clock_, log_, "t");
  }
  [[nodiscard]] std::string root() const { return temp_.path() + "/root"; }
  void mark(const std::string& name, uint32_t bits) {
    changes_.mark(at(root_dir.value, name), bits, clock_.now());
  }
  // A file `stays`, with another name.
  void make_linked(const std::string& other) {
    std::ofstream(root() + "/stays") << "content";
    std::filesystem::create_hard_link(root() + "/stays", root() + "/" + other);
    mark("stays", hint_created | hint_closed);
    if (!other.contains('/')) mark(other, hint_created);
  }
  // `stays` has no other name any more, and this content.
  static void expect_alone(const std::vector<CutItem>& items, const std::string& content) {
    const auto stays = std::ranges::find(items, at(root_dir.value, "stays"), &CutItem::key);
    ASSERT_NE(stays, items.end());
    EXPECT_EQ(stays->attr.link_names, 1U);
    EXPECT_FALSE(stays->attr.link.is_set());
    ASSERT_TRUE(stays->bytes);
    EXPECT_EQ(*stays->bytes, content);
  }
  void write(const std::string& name, const std::string& content) {
    std::ofstream(root() + "/" + name) << content;
    mark(name, hint_created | hint_modified | hint_closed);
  }
  std::shared_ptr<CutBatch> build_batch(bool always = false) {
    return builder_->build(CutNumber{++cut_}, always);
  }
  std::vector<CutItem> build() {
    const std::shared_ptr<CutBatch> batch = build_batch();
    return batch ? batch->items : std::vector<CutItem>{};
  }
  static const CutItem* item_of(const CutBatch& batch, const Key& key) {
    const auto item = std::ranges::find(batch.items, key, &CutItem::key);
    return item == batch.items.end() ? nullptr : &*item;
  }

  std::function<void()> on_drain_ = [] {};  // once
  SystemClock clock_;
  NullLog log_;
  std::unique_ptr<HeldRemovals> held_;
  std::vector<DirId> unwatched_;
  Policy policy_;
  IdAllocator ids_{1, 0, [](uint64_t) { return false; }};
  ChangeSet changes_{limits::dirty_keys_max};
  std::unique_ptr<io::DirCache> dirs_;
  std::unique_ptr<Observer> observer_;
  std::unique_ptr<CutBuilder> builder_;
  uint64_t cut_ = 1;
};

// Peers link the new name to one that they have: alone it would become a file of its own there.
TEST_F(CutBuilderTest, ARenamedNameOfALinkGroupTakesTheOthersAlong) {
  make_linked("old");
  ASSERT_GE(build().size(), 2u);
  std::filesystem::rename(root() + "/old", root() + "/new");
  mark("old", hint_removed | hint_moved);
  mark("new", hint_created | hint_moved);
  const std::vector<CutItem> items = build();
  const auto named = [&](const std::string& name) {
    return std::ranges::find_if(items, [&](const CutItem& i) { return i.key.name == name; });
  };
  ASSERT_NE(named("new"), items.end());
  ASSERT_NE(named("stays"), items.end());
  EXPECT_EQ(named("stays")->attr.link, named("new")->attr.link);
  EXPECT_FALSE(named("stays")->content_changed);
  EXPECT_LT(named("stays") - items.begin(), named("new") - items.begin());
}

// inotify names the directory entry that was written through, and it is gone: the name that lives
// on is looked at.
TEST_F(CutBuilderTest, TheNamesThatStayAreLookedAtWhenADirectoryTakesTheOthersAway) {
  std::filesystem::create_directory(root() + "/d");
  mark("d", hint_created | hint_directory);
  make_linked("d/other");
  ASSERT_GE(build().size(), 3u);
  ASSERT_EQ(index_->get(at(root_dir.value, "stays"))->attr.link_names, 2U);
  std::ofstream(root() + "/d/other") << "written through the name that goes";
  std::filesystem::remove_all(root() + "/d");
  mark("d", hint_removed | hint_directory);
  expect_alone(build(), "written through the name that goes");
}

// The same where another file takes the name.
TEST_F(CutBuilderTest, TheNamesThatStayAreLookedAtWhenAnotherFileTakesTheName) {
  make_linked("taken");
  std::ofstream(root() + "/comes") << "another";
  mark("comes", hint_created | hint_closed);
  ASSERT_GE(build().size(), 3u);
  std::ofstream(root() + "/taken") << "written through the name that is taken";
  std::filesystem::rename(root() + "/comes", root() + "/taken");
  mark("taken", hint_modified | hint_closed | hint_created | hint_moved);
  mark("comes", hint_removed | hint_moved);
  expect_alone(build(), "written through the name that is taken");
}

// The directory of a key is replaced by another one: the build waits for it, and ends.
TEST_F(CutBuilderTest, AKeyInADirectoryThatWasReplacedDoesNotWaitForEver) {
  std::filesystem::create_directory(root() + "/under");
  std::filesystem::create_directory(root() + "/over");
  mark("under", hint_created);
  mark("over", hint_created);
  ASSERT_GE(build().size(), 2u);
  const DirId under = index_->get(at(root_dir.value, "under"))->attr.dir;
  std::filesystem::rename(root() + "/over", root() + "/under");
  changes_.mark(at(under.value, "brief"), hint_created | hint_removed, clock_.now());
  mark("over", hint_removed | hint_moved);
  mark("under", hint_created | hint_moved);
  EXPECT_FALSE(build().empty());
  EXPECT_FALSE(index_->summary(under));
  EXPECT_TRUE(changes_.empty());
}

// Between two looks of one cut: peers have it at its first place, and nothing else would name that.
TEST_F(CutBuilderTest, ADirectoryThatMovedAndWentIsRemovedWherePeersHaveIt) {
  std::filesystem::create_directory(root() + "/first");
  mark("first", hint_created);
  ASSERT_GE(build().size(), 1u);
  std::filesystem::rename(root() + "/first", root() + "/second");
  mark("first", hint_removed | hint_moved);
  mark("second", hint_created | hint_moved);
  on_drain_ = [this] {
    std::filesystem::remove(root() + "/second");
    mark("second", hint_removed);
  };
  const std::vector<CutItem> items = build();
  const auto first = std::ranges::find(items, at(root_dir.value, "first"), &CutItem::key);
  ASSERT_NE(first, items.end());
  EXPECT_TRUE(first->removed);
}

// The directory that a scan was to list had moved: nothing below it is watched.
TEST_F(CutBuilderTest, ADirectoryThatAScanMissedIsScannedWhenItIsSeen) {
  std::filesystem::create_directory(root() + "/old");
  mark("old", hint_created);
  ASSERT_GE(build().size(), 1u);
  const DirId dir = index_->get(at(root_dir.value, "old"))->attr.dir;
  builder_->owe_listing(dir);
  std::filesystem::rename(root() + "/old", root() + "/new");
  mark("old", hint_removed | hint_moved);
  mark("new", hint_created | hint_moved);
  ASSERT_FALSE(build().empty());
  EXPECT_EQ(changes_.take_rescan().below, std::vector<DirId>{dir});
  mark("new", hint_attributes);
  static_cast<void>(build());
  EXPECT_FALSE(changes_.rescan_needed()) << "once";
}

// A cut went without it: the next one has it, although nothing about it changed.
TEST_F(CutBuilderTest, WhatACutWentWithoutIsInTheNextWhole) {
  std::ofstream(root() + "/f") << "content";
  mark("f", hint_created | hint_closed);
  ASSERT_GE(build().size(), 1u);
  mark("f", hint_modified);
  static_cast<void>(build());
  mark("f", hint_modified | hint_unsent);
  const std::vector<CutItem> items = build();
  ASSERT_EQ(items.size(), 1u);
  EXPECT_TRUE(items[0].unsent);
  EXPECT_TRUE(items[0].content_changed);
  EXPECT_FALSE(items[0].base_content.is_set());
}

// A tree of which no more than 4 entries, or 30 %, may go: directories `d` and `e` of 6 files each.
class HeldCutsTest : public CutBuilderTest {
 protected:
  void SetUp() override {
    CutBuilderTest::SetUp();
    rebuild();
    for (const char* dir : {"d", "e"}) {
      std::filesystem::create_directory(path(dir));
      for (int i = 0; i < 6; ++i) write(std::string(dir) + "/f" + std::to_string(i));
      mark(dir, hint_created | hint_directory);
    }
    ASSERT_EQ(build().size(), 15U);
    d_ = index_->get(at(root_dir.value, "d"))->attr.dir;
    before_ = index_->root_content();
  }
  void rebuild() {
    held_.reset();
    make_held({.on = true, .entries = 4, .percent = 30});
    builder_ = std::make_unique<CutBuilder>(
        *observer_, *index_, *dirs_, changes_, *held_,
        CutHooks{.drain = [this] { std::exchange(on_drain_, [] {})(); },
                 .watch = [](DirId, int, std::string_view) {},
                 .unwatch = [this](DirId dir) { unwatched_.push_back(dir); }},
        clock_);
  }
  [[nodiscard]] std::string path(const std::string& name) const { return root() + "/" + name; }
  void write(const std::string& name) const { std::ofstream(path(name)) << name; }
  void remove_d() {
    std::filesystem::remove_all(path("d"));
    for (int i = 0; i < 6; ++i)
      changes_.mark(Key{.dir = d_, .name = "f" + std::to_string(i)}, hint_removed, clock_.now());
    mark("d", hint_removed | hint_directory);
  }
  static bool has(const std::vector<CutItem>& items, const Key& key, bool removed) {
    return std::ranges::any_of(
        items, [&](const CutItem& item) { return item.key == key && item.removed == removed; });
  }
  static bool removes(const std::vector<CutItem>& items) {
    return std::ranges::any_of(items, &CutItem::removed);
  }

  DirId d_;
  Fingerprint before_;
};

TEST_F(HeldCutsTest, AMassDeleteIsInNoCutAndKeepsNobodyBusy) {
  remove_d();
  EXPECT_FALSE(removes(build()));
  EXPECT_TRUE(changes_.empty()) << "nothing waits for a cut";
  EXPECT_EQ(held_->entries(), 7U);
  EXPECT_TRUE(index_->contains(Key{.dir = d_, .name = "f3"}));
  EXPECT_EQ(unwatched_, std::vector<DirId>{d_});
  // Whatever else is hinted there.
  changes_.mark(Key{.dir = d_, .name = "f0"}, hint_removed, clock_.now());
  mark("d", hint_removed);
  EXPECT_FALSE(removes(build()));
  EXPECT_TRUE(changes_.empty());
  EXPECT_EQ(held_->entries(), 7U);
}

TEST_F(HeldCutsTest, AFewAreRemovedAsEver) {
  std::filesystem::remove(path("d/f0"));
  changes_.mark(Key{.dir = d_, .name = "f0"}, hint_removed, clock_.now());
  EXPECT_TRUE(has(build(), Key{.dir = d_, .name = "f0"}, true));
  EXPECT_TRUE(held_->empty());
}

TEST_F(HeldCutsTest, TheRestFlowsAndRenamesDo) {
  remove_d();
  static_cast<void>(build());
  write("new");
  mark("new", hint_created | hint_closed);
  std::filesystem::rename(path("e/f0"), path("moved"));
  const DirId e = index_->get(at(root_dir.value, "e"))->attr.dir;
  changes_.mark(Key{.dir = e, .name = "f0"}, hint_removed | hint_moved, clock_.now());
  mark("moved", hint_created | hint_moved);
  const std::vector<CutItem> items = build();
  EXPECT_TRUE(has(items, at(root_dir.value, "new"), false));
  EXPECT_TRUE(has(items, at(root_dir.value, "moved"), false));
  EXPECT_TRUE(has(items, Key{.dir = e, .name = "f0"}, true));
}

TEST_F(HeldCutsTest, ApprovedTheyAreRemoved) {
  remove_d();
  static_cast<void>(build());
  for (const Key& key : held_->approve()) changes_.mark(key, hint_removed, clock_.now());
  EXPECT_TRUE(has(build(), at(root_dir.value, "d"), true));
  EXPECT_FALSE(index_->summary(d_));
  EXPECT_TRUE(held_->empty());
}

TEST_F(HeldCutsTest, AFileAtAHeldFilesNameFlows) {
  for (int i = 0; i < 6; ++i) {
    std::filesystem::remove(path("d/f" + std::to_string(i)));
    changes_.mark(Key{.dir = d_, .name = "f" + std::to_string(i)}, hint_removed, clock_.now());
  }
  EXPECT_FALSE(removes(build()));
  EXPECT_EQ(held_->entries(), 6U);
  write("d/f0");
  changes_.mark(Key{.dir = d_, .name = "f0"}, hint_created | hint_closed, clock_.now());
  EXPECT_TRUE(has(build(), Key{.dir = d_, .name = "f0"}, false));
  EXPECT_EQ(held_->entries(), 5U);
  std::filesystem::create_directory(path("d/f1"));
  changes_.mark(Key{.dir = d_, .name = "f1"}, hint_created | hint_directory, clock_.now());
  EXPECT_TRUE(has(build(), Key{.dir = d_, .name = "f1"}, false));
  EXPECT_EQ(held_->entries(), 4U);
}

// It takes the directory's id; what was in the old one stays held, each by itself.
TEST_F(HeldCutsTest, ADirectoryAtAHeldDirectorysNameFlows) {
  remove_d();
  static_cast<void>(build());
  std::filesystem::create_directory(path("d"));
  write("d/young");
  write("d/f0");
  mark("d", hint_created | hint_directory);
  const std::vector<CutItem> items = build();
  EXPECT_TRUE(has(items, Key{.dir = d_, .name = "young"}, false));
  EXPECT_TRUE(has(items, Key{.dir = d_, .name = "f0"}, false));
  EXPECT_FALSE(removes(items));
  EXPECT_EQ(held_->entries(), 5U);
}

TEST_F(HeldCutsTest, AFileInAHeldDirectorysPlaceWaitsWithIt) {
  remove_d();
  static_cast<void>(build());
  write("d");
  mark("d", hint_created | hint_closed);
  EXPECT_TRUE(build().empty() || !has(build(), at(root_dir.value, "d"), false));
  EXPECT_EQ(index_->get(at(root_dir.value, "d"))->attr.type, FileType::directory);
  EXPECT_EQ(held_->entries(), 7U);
  EXPECT_TRUE(held_->keys().at(at(root_dir.value, "d")).replaced);
  for (const Key& key : held_->approve()) changes_.mark(key, hint_removed, clock_.now());
  EXPECT_TRUE(has(build(), at(root_dir.value, "d"), false));
  EXPECT_EQ(index_->get(at(root_dir.value, "d"))->attr.type, FileType::regular);
}

// Between two looks: the directory's removal is nowhere said but by what is there instead.
TEST_F(HeldCutsTest, TheRemovalThatAReplacementImpliesCounts) {
  std::filesystem::remove_all(path("d"));
  write("d");
  mark("d", hint_created | hint_removed | hint_closed);
  static_cast<void>(build());
  EXPECT_EQ(index_->get(at(root_dir.value, "d"))->attr.type, FileType::directory);
  EXPECT_EQ(held_->entries(), 7U);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(HeldCutsTest, AnotherDirectoryInItsPlaceWaits) {
  std::filesystem::remove_all(path("d"));
  std::filesystem::rename(path("e"), path("d"));
  mark("d", hint_created | hint_removed | hint_moved);
  mark("e", hint_removed | hint_moved);
  EXPECT_FALSE(removes(build()));
  EXPECT_TRUE(index_->contains(Key{.dir = d_, .name = "f0"}));
  EXPECT_TRUE(index_->contains(at(root_dir.value, "e")));
  EXPECT_TRUE(changes_.empty());
  for (const Key& key : held_->approve()) changes_.mark(key, hint_removed, clock_.now());
  EXPECT_FALSE(build().empty());
  EXPECT_FALSE(index_->contains(at(root_dir.value, "e")));
  EXPECT_FALSE(index_->summary(d_)) << "it went; its place is the other one's";
  EXPECT_THAT(index_->check(), testing::IsEmpty());
}

// Neither is lost, so neither is held.
TEST_F(HeldCutsTest, DirectoriesThatChangePlacesAreNotHeld) {
  std::filesystem::rename(path("d"), path("t"));
  std::filesystem::rename(path("e"), path("d"));
  std::filesystem::rename(path("t"), path("e"));
  mark("d", hint_created | hint_moved);
  mark("e", hint_created | hint_moved);
  EXPECT_FALSE(removes(build()));
  EXPECT_TRUE(held_->empty());
  EXPECT_FALSE(held_->engaged());
  EXPECT_EQ(index_->get(at(root_dir.value, "e"))->attr.dir, d_);
  EXPECT_NE(index_->get(at(root_dir.value, "d"))->attr.dir, d_);
  EXPECT_EQ(index_->counts().entries, 15U) << "the contents of both";
}

TEST_F(HeldCutsTest, ADirectoryThatComesBackIsScanned) {
  std::filesystem::rename(path("d"), temp_.path() + "/away");
  mark("d", hint_removed | hint_moved);
  static_cast<void>(build());
  ASSERT_EQ(held_->entries(), 7U);
  std::filesystem::rename(temp_.path() + "/away", path("d"));
  mark("d", hint_created | hint_moved);
  static_cast<void>(build());
  EXPECT_TRUE(held_->empty());
  EXPECT_EQ(changes_.take_rescan().below, std::vector<DirId>{d_});
}

// Found at another place by a later cut: it moved.
TEST_F(HeldCutsTest, ADirectoryThatIsFoundElsewhereIsNotHeld) {
  std::filesystem::rename(path("d"), path("z"));
  mark("d", hint_removed | hint_moved);
  static_cast<void>(build());
  ASSERT_EQ(held_->entries(), 7U);
  mark("z", hint_created | hint_moved);
  EXPECT_FALSE(build().empty());
  EXPECT_TRUE(held_->empty());
  EXPECT_EQ(index_->get(at(root_dir.value, "z"))->attr.dir, d_);
}

// A name of a file that is elsewhere goes even out of a held directory: no link group has names
// that are held and names that are not.
TEST_F(HeldCutsTest, AHeldDirectoryKeepsNoNameOfAFileThatLives) {
  std::filesystem::create_hard_link(path("d/f0"), path("stays"));
  mark("stays", hint_created);
  ASSERT_FALSE(build().empty());
  ASSERT_EQ(index_->get(at(root_dir.value, "stays"))->attr.link_names, 2U);
  remove_d();
  const std::vector<CutItem> items = build();
  EXPECT_TRUE(has(items, Key{.dir = d_, .name = "f0"}, true));
  EXPECT_EQ(index_->get(at(root_dir.value, "stays"))->attr.link_names, 1U);
  EXPECT_EQ(held_->entries(), 6U);
  EXPECT_TRUE(changes_.empty());
}

// What a version that was read again refers to was written before it: without that the cut would be
// a state that the tree never had.
TEST_F(CutBuilderTest, ANewerVersionTakesAlongWhatWasWrittenBeforeIt) {
  write("head", "first");
  on_drain_ = [this] {
    write("named by the second", "x");
    write("head", "second");
  };
  const std::shared_ptr<CutBatch> batch = build_batch();
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->ordered);
  EXPECT_NE(item_of(*batch, at(root_dir.value, "named by the second")), nullptr);
  const CutItem* head = item_of(*batch, at(root_dir.value, "head"));
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(*head->bytes, "second");
}

// What is not in it waits for the next one, as long as no key of the cut is newer.
TEST_F(CutBuilderTest, WhatIsOnlyNewWaitsForTheNextCut) {
  write("before", "x");
  on_drain_ = [this] { write("after", "y"); };
  const std::shared_ptr<CutBatch> batch = build_batch();
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->ordered);
  EXPECT_EQ(item_of(*batch, at(root_dir.value, "after")), nullptr);
  EXPECT_EQ(build().size(), 2u) << "and the root";
}

// No event tells of what came into a directory before it was watched, nor what was written before.
TEST_F(CutBuilderTest, WhatAListingFindsTakesAlongWhatWasWrittenBeforeIt) {
  std::filesystem::create_directory(root() + "/d");
  mark("d", hint_created | hint_directory);
  std::ofstream(root() + "/d/names it") << "x";
  on_drain_ = [this] { write("named", "y"); };
  const std::shared_ptr<CutBatch> batch = build_batch();
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->ordered);
  EXPECT_NE(item_of(*batch, at(root_dir.value, "named")), nullptr);
}

// A key that never rests: the cut says so, has what its last version refers to, and leaves it
// dirty.
TEST_F(CutBuilderTest, ACutWithAHotKeyIsNotExact) {
  int version = 0;
  const std::function<void()> hot = [&] {
    write("named by " + std::to_string(++version), "x");
    write("head", std::to_string(version));
    on_drain_ = hot;
  };
  hot();
  const std::shared_ptr<CutBatch> batch = build_batch();
  ASSERT_TRUE(batch);
  EXPECT_FALSE(batch->ordered);
  const CutItem* head = item_of(*batch, at(root_dir.value, "head"));
  ASSERT_NE(head, nullptr);
  EXPECT_NE(item_of(*batch, at(root_dir.value, "named by " + *head->bytes)), nullptr);
  on_drain_ = [] {};
  const std::shared_ptr<CutBatch> next = build_batch();
  ASSERT_TRUE(next);
  EXPECT_TRUE(next->ordered);
  EXPECT_EQ(*item_of(*next, at(root_dir.value, "head"))->bytes, std::to_string(version));
}

// More than a cut holds: in which of them a key comes says nothing about the order of writes.
TEST_F(CutBuilderTest, ACutThatCannotTakeAllIsNotExact) {
  for (int i = 0; i < 20; ++i) write("f" + std::to_string(i), "x");
  for (size_t i = 0; i < limits::cut_keys_max - 10; ++i) mark(std::to_string(i), hint_removed);
  std::shared_ptr<CutBatch> batch = build_batch();
  ASSERT_TRUE(batch);
  EXPECT_FALSE(batch->ordered);
  EXPECT_FALSE(changes_.empty());
  batch = build_batch(true);
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->ordered);
  EXPECT_TRUE(changes_.empty());
}

// Contents beyond what a cut holds in memory are read when they are sent; the cut has them all.
TEST_F(CutBuilderTest, ContentsThatDoNotFitAreLeftToTheSender) {
  const std::string content(limits::inline_bytes_max, 'x');
  constexpr size_t count = limits::cut_inline_bytes_max / limits::inline_bytes_max + 2;
  for (size_t i = 0; i < count; ++i) write("f" + std::to_string(i), content);
  const std::shared_ptr<CutBatch> batch = build_batch();
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->ordered);
  EXPECT_TRUE(changes_.empty());
  EXPECT_EQ(batch->items.size(), count + 1);
  EXPECT_EQ(
      std::ranges::count_if(batch->items, [](const CutItem& i) { return i.bytes != nullptr; }),
      static_cast<std::ptrdiff_t>(count - 2));
}

// Says that what peers have is the state of now.
TEST_F(CutBuilderTest, ACutWithoutItemsIsMadeWhenItIsAskedFor) {
  EXPECT_FALSE(build_batch());
  const std::shared_ptr<CutBatch> batch = build_batch(true);
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->ordered);
  EXPECT_TRUE(batch->items.empty());
}

}  // namespace
}  // namespace repl::change
