#include <fcntl.h>

#include "tests/unit/apply/diverged_fixture.h"

namespace repl::apply::diverged::testing {
namespace {

class RestoreTest : public DivergedTest {
 protected:
  // "f" here was "mine", the other side's is "theirs".
  std::unique_ptr<Store> diverged() {
    write("f", "mine");
    EXPECT_EQ(::chmod((root + "/f").c_str(), 0751), 0);
    auto store = begin();
    keep(*store, "f");
    replace("f", "theirs");
    settle(*store);
    return store;
  }
  Outcome restore(Store& store, const Item& item, OnPresent on_present, int to = -1) {
    auto restorer = Restorer::make(store, to < 0 ? tree.get() : to, on_present);
    EXPECT_TRUE(restorer) << restorer.error().message;
    const auto outcome = restorer->restore(item);
    EXPECT_TRUE(outcome) << outcome.error().message;
    EXPECT_TRUE(restorer->finish());
    return outcome ? *outcome : Outcome::in_the_way;
  }
};

TEST_F(RestoreTest, WhatIsThereIsNotReplacedUnasked) {
  const auto store = diverged();
  const Item item = store->manifest().items.at(0);
  EXPECT_EQ(restore(*store, item, OnPresent::refuse), Outcome::in_the_way);
  EXPECT_EQ(read(root + "/f"), "theirs");
  EXPECT_EQ(std::distance(
                fs::directory_iterator(area_path + "/diverged/" + store->id() + "/objects"), {}),
            1);
}

TEST_F(RestoreTest, WhatIsReplacedGoesToTheStore) {
  const auto store = diverged();
  const Item item = store->manifest().items.at(0);
  EXPECT_EQ(restore(*store, item, OnPresent::replace), Outcome::restored);
  EXPECT_EQ(read(root + "/f"), "mine");
  struct stat st{};
  ASSERT_EQ(::stat((root + "/f").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0751u);
  EXPECT_EQ(st.st_nlink, 1u) << "a write to it does not reach the store";
  const View seen = view();
  EXPECT_FALSE(seen.damaged());
  ASSERT_EQ(seen.manifest.items.size(), 2u);
  const Item& displaced = seen.manifest.items[1];
  EXPECT_EQ(displaced.change, Change::displaced);
  EXPECT_EQ(displaced.path, "f");
  EXPECT_EQ(read(object_path(seen.id, displaced.number)), "theirs");
  EXPECT_EQ(restore(*store, item, OnPresent::replace), Outcome::already);
  // And back again.
  EXPECT_EQ(restore(*store, displaced, OnPresent::replace), Outcome::restored);
  EXPECT_EQ(read(root + "/f"), "theirs");
}

TEST_F(RestoreTest, MissingParentsAreMadeAsTheyWere) {
  fs::create_directories(root + "/known/unknown");
  ASSERT_EQ(::chmod((root + "/known").c_str(), 0710), 0);
  ASSERT_EQ(::chown((root + "/known").c_str(), 5, 6), 0);
  write("known/unknown/f", "mine");
  const timespec times[2] = {{1, 2}, {3, 4}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (root + "/known").c_str(), times, 0), 0);
  auto store = begin();
  keep(*store, "known", Change::made);
  const Fd dir = std::move(*io::open_root(root + "/known/unknown"));
  const Subject f{.change = Change::made, .key = {DirId{9}, "f"}, .path = "known/unknown/f"};
  ASSERT_TRUE(store->keep(f, dir.get(), "f"));
  fs::remove_all(root + "/known");
  settle(*store);
  EXPECT_EQ(restore(*store, store->manifest().items.at(1), OnPresent::refuse), Outcome::restored);
  EXPECT_EQ(read(root + "/known/unknown/f"), "mine");
  struct stat st{};
  ASSERT_EQ(::stat((root + "/known").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0710u);
  EXPECT_EQ(st.st_uid, 5u);
  EXPECT_EQ(st.st_mtim.tv_sec, 3);
  ASSERT_EQ(::stat((root + "/known/unknown").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0755u);
}

TEST_F(RestoreTest, NoSymlinkLeadsOutside) {
  fs::create_directory(root + "/d");
  write("d/f", "mine");
  auto store = begin();
  const Fd dir = std::move(*io::open_root(root + "/d"));
  ASSERT_TRUE(
      store->keep({.change = Change::made, .key = {DirId{9}, "f"}, .path = "d/f"}, dir.get(), "f"));
  fs::remove_all(root + "/d");
  settle(*store);
  fs::create_directory(volume.mount() + "/outside");
  fs::create_directory_symlink("../outside", root + "/d");
  auto restorer = Restorer::make(*store, tree.get(), OnPresent::replace);
  ASSERT_TRUE(restorer);
  EXPECT_FALSE(restorer->restore(store->manifest().items.at(0)));
  EXPECT_TRUE(fs::is_empty(volume.mount() + "/outside"));
}

TEST_F(RestoreTest, WhatWasDeletedHereIsRemovedAgainAndKept) {
  auto store = begin();
  ASSERT_TRUE(store->note_removed(subject("f", Change::deleted)));
  write("f", "brought back by the other side");
  settle(*store);
  const Item item = store->manifest().items.at(0);
  EXPECT_EQ(restore(*store, item, OnPresent::refuse), Outcome::in_the_way);
  EXPECT_EQ(restore(*store, item, OnPresent::replace), Outcome::removed);
  EXPECT_FALSE(fs::exists(root + "/f"));
  const View seen = view();
  EXPECT_FALSE(seen.damaged());
  ASSERT_EQ(seen.manifest.items.size(), 2u);
  EXPECT_EQ(read(object_path(seen.id, seen.manifest.items[1].number)),
            "brought back by the other side");
  EXPECT_EQ(restore(*store, item, OnPresent::replace), Outcome::already);
}

TEST_F(RestoreTest, ReplacedAttributesComeBackToTheSameContent) {
  write("f", "content");
  ASSERT_EQ(::chmod((root + "/f").c_str(), 0640), 0);
  auto store = begin();
  keep(*store, "f");
  ASSERT_EQ(::chmod((root + "/f").c_str(), 0600), 0);
  settle(*store, Shown::attributes);
  const Item item = store->manifest().items.at(0);
  EXPECT_EQ(restore(*store, item, OnPresent::refuse), Outcome::in_the_way);
  EXPECT_EQ(restore(*store, item, OnPresent::replace), Outcome::restored);
  struct stat st{};
  ASSERT_EQ(::stat((root + "/f").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0640u);
  EXPECT_EQ(view().manifest.items.at(1).attr->mode, 0600);
  write("f", "another content");
  EXPECT_EQ(restore(*store, item, OnPresent::replace), Outcome::in_the_way);
}

TEST_F(RestoreTest, ADirectoryInTheWayStays) {
  const auto store = diverged();
  fs::remove(root + "/f");
  fs::create_directories(root + "/f/inside");
  EXPECT_EQ(restore(*store, store->manifest().items.at(0), OnPresent::replace),
            Outcome::in_the_way);
  EXPECT_TRUE(fs::exists(root + "/f/inside"));
}

TEST_F(RestoreTest, ToAnotherFilesystem) {
  const auto store = diverged();
  const Volume other("tmpfs", 8);
  ASSERT_TRUE(other.ok());
  const Fd to = std::move(*io::open_root(other.mount()));
  const Item item = store->manifest().items.at(0);
  EXPECT_FALSE(Restorer::make(*store, to.get(), OnPresent::replace));
  EXPECT_EQ(restore(*store, item, OnPresent::refuse, to.get()), Outcome::restored);
  EXPECT_EQ(read(other.mount() + "/f"), "mine");
  EXPECT_EQ(restore(*store, item, OnPresent::refuse, to.get()), Outcome::already);
  std::ofstream(other.mount() + "/f") << "something else";
  EXPECT_EQ(restore(*store, item, OnPresent::refuse, to.get()), Outcome::in_the_way);
  EXPECT_EQ(std::distance(fs::directory_iterator(other.mount()), {}), 1) << "nothing is left over";
}

TEST_F(RestoreTest, WhatDiffersIsNamed) {
  const auto store = diverged();
  const Item item = store->manifest().items.at(0);
  const auto now = [&] { return *compare(item, store->objects(), tree.get(), "f"); };
  EXPECT_EQ(now().now, Now::differs);
  EXPECT_EQ(now().what.at(0), "content");
  write("f", "ours");  // as long as it was
  EXPECT_EQ(now().what.at(0), "content");
  fs::remove(root + "/f");
  EXPECT_EQ(now().now, Now::absent);
  fs::create_directory(root + "/f");
  EXPECT_EQ(now().what, std::vector<std::string_view>{"type"});
  fs::remove(root + "/f");
  EXPECT_EQ(restore(*store, item, OnPresent::refuse), Outcome::restored);
  EXPECT_EQ(now().now, Now::same);
  ASSERT_EQ(::chown((root + "/f").c_str(), 3, 4), 0);
  EXPECT_EQ(now().what, (std::vector<std::string_view>{"owner", "group"}));
}

}  // namespace
}  // namespace repl::apply::diverged::testing
