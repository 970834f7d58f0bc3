#include "tests/unit/apply/diverged_fixture.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <linux/fs.h>

#include <algorithm>

namespace repl::apply::diverged::testing {
namespace {

TEST_F(DivergedTest, AKeptFileIsALinkAndItsStatIsTold) {
  write("f", "mine");
  auto store = begin();
  const auto told = store->keep(subject("f"), tree.get(), "f");
  ASSERT_TRUE(told) << told.error().message;
  const auto now = io::stat_at(tree.get(), "f");
  EXPECT_EQ(told->local.ctime, now->local.ctime);
  EXPECT_EQ(told->nlink, 2u);
  ASSERT_TRUE(store->sync());
  replace("f", "theirs");
  EXPECT_EQ(settle(*store).items, 1u);
  const View seen = view();
  EXPECT_EQ(seen.manifest.about, about());
  EXPECT_TRUE(seen.manifest.finished);
  EXPECT_FALSE(seen.damaged());
  EXPECT_EQ(read(object_path(seen.id, seen.manifest.items.at(0).number)), "mine");
  EXPECT_EQ(seen.id, "20270115T080000Z");
}

TEST_F(DivergedTest, EveryTypeComesBackWhole) {
  ASSERT_EQ(::mkdir((root + "/d").c_str(), 0755), 0);
  write("d/file", "content");
  ASSERT_EQ(::setxattr((root + "/d/file").c_str(), "trusted.repl", "v\0w", 3, 0), 0);
  ASSERT_EQ(::chown((root + "/d/file").c_str(), 12, 34), 0);
  ASSERT_EQ(::chmod((root + "/d/file").c_str(), 06750), 0);
  ASSERT_EQ(::link((root + "/d/file").c_str(), (root + "/d/again").c_str()), 0);
  ASSERT_EQ(::symlink("no/where\n", (root + "/d/link").c_str()), 0);
  ASSERT_EQ(::mkfifo((root + "/d/fifo").c_str(), 0611), 0);
  ASSERT_EQ(::mknod((root + "/d/device").c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
  ASSERT_EQ(::mknod((root + "/d/socket").c_str(), S_IFSOCK | 0622, 0), 0);
  const std::string odd = "\x01\xff\n \\";
  write("d/" + odd, "odd");
  std::ofstream(root + "/d/sparse").close();
  fs::resize_file(root + "/d/sparse", 8 << 20);
  const timespec times[2] = {{1, 2}, {1'234'567'890, 123'456'789}};
  for (const auto& entry : fs::directory_iterator(root + "/d"))
    ASSERT_EQ(::utimensat(AT_FDCWD, entry.path().c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  ASSERT_EQ(::chmod((root + "/d").c_str(), 02771), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, (root + "/d").c_str(), times, 0), 0);
  const auto before = apply::testing::walk(root + "/d");

  auto store = begin();
  const Fd d = std::move(*io::open_dir(tree.get(), "d"));
  ASSERT_TRUE(store->keep(subject("d", Change::made), tree.get(), "d"));
  for (const std::string name :
       {"file", "again", "link", "fifo", "device", "socket", "sparse", odd.c_str()}) {
    const Subject kept{.change = Change::made, .key = {DirId{5}, name}, .path = "d/" + name};
    const auto done = store->keep(kept, d.get(), name);
    ASSERT_TRUE(done) << name << ": " << done.error().message;
  }
  ASSERT_TRUE(store->sync());
  fs::remove_all(root + "/d");
  EXPECT_EQ(settle(*store).items, 9u);
  const std::string id = store->id();
  store.reset();

  auto again = Store::open(area.get(), id);
  ASSERT_TRUE(again) << again.error().message;
  auto restorer = Restorer::make(**again, tree.get(), OnPresent::refuse);
  ASSERT_TRUE(restorer);
  std::vector<Item> items = (*again)->manifest().items;
  sort_for_restore(items);
  for (const Item& item : items) {
    const auto outcome = restorer->restore(item);
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(*outcome, Outcome::restored) << item.path;
  }
  ASSERT_TRUE(restorer->finish());
  EXPECT_EQ(apply::testing::walk(root + "/d"), before);
  char value[8] = {};
  EXPECT_EQ(::getxattr((root + "/d/again").c_str(), "trusted.repl", value, sizeof value), 3);
  struct stat sparse{};
  ASSERT_EQ(::stat((root + "/d/sparse").c_str(), &sparse), 0);
  EXPECT_LT(sparse.st_blocks, 1000) << "holes stay holes";
  EXPECT_EQ(view().manifest.items.size(), 9u) << "the store stays until it is discarded";
}

TEST_F(DivergedTest, AnInterruptedCatchUpGoesOnInTheSameStore) {
  write("a", "a");
  write("b", "b");
  std::string id;
  {
    auto store = begin();
    keep(*store, "a");
    ASSERT_TRUE(store->note_removed(subject("gone", Change::deleted)));
    ASSERT_TRUE(store->sync());
    id = store->id();
  }
  auto store = begin();
  EXPECT_TRUE(store->resumed());
  EXPECT_EQ(store->id(), id);
  keep(*store, "a");
  keep(*store, "b");
  ASSERT_TRUE(store->note_removed(subject("gone", Change::deleted)));
  EXPECT_EQ(store->manifest().items.size(), 3u);
  struct stat st{};
  ASSERT_EQ(::stat((root + "/a").c_str(), &st), 0);
  EXPECT_EQ(st.st_nlink, 2u) << "kept once";
  settle(*store);
  store.reset();
  EXPECT_EQ(view().manifest.items.size(), 3u);
  EXPECT_NE(begin()->id(), id) << "a finished one is not taken up again";
}

TEST_F(DivergedTest, ADifferentPositionOrPeerIsAnotherStore) {
  const auto first = begin();
  About other = about();
  other.common_cut = CutNumber{8};
  const auto second = Store::begin(area.get(), other);
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)->id(), first->id() + "-2");
  other.from_peer = "mgmt3";
  const auto third = Store::begin(area.get(), other);
  ASSERT_TRUE(third);
  EXPECT_EQ((*third)->id(), first->id() + "-3");
}

// Written between two tries: the link shows the new content, the record must say the new
// attributes.
TEST_F(DivergedTest, WhatIsChangedAfterItWasKeptIsRecordedAnew) {
  write("f", "one");
  {
    keep(*begin(), "f");
  }
  write("f", "longer");
  ASSERT_EQ(::chmod((root + "/f").c_str(), 0601), 0);
  auto store = begin();
  keep(*store, "f");
  ASSERT_EQ(store->manifest().items.size(), 1u);
  EXPECT_EQ(store->manifest().items[0].attr->size, 6u);
  EXPECT_EQ(store->manifest().items[0].attr->mode, 0601);
}

TEST_F(DivergedTest, ASecondVersionOfAKeyIsKeptToo) {
  write("f", "one");
  auto store = begin();
  keep(*store, "f");
  replace("f", "theirs");
  replace("f", "two");
  keep(*store, "f");
  ASSERT_EQ(store->manifest().items.size(), 2u);
  EXPECT_EQ(read(object_path(store->id(), 1)), "one");
  EXPECT_EQ(read(object_path(store->id(), 2)), "two");
}

TEST_F(DivergedTest, SettlingTakesOutWhatTheTreeStillShows) {
  for (const char* name : {"same", "attributes", "replaced"}) write(name, name);
  auto store = begin();
  for (const char* name : {"same", "attributes", "replaced"}) keep(*store, name);
  ASSERT_TRUE(store->sync());
  replace("replaced", "theirs");
  const auto settled = store->settle([](const Item& item) -> Result<Shown> {
    return item.path == "same"         ? Shown::same
           : item.path == "attributes" ? Shown::attributes
                                       : Shown::replaced;
  });
  ASSERT_TRUE(settled) << settled.error().message;
  EXPECT_EQ(settled->items, 2u);
  EXPECT_EQ(settled->dropped, 1u);
  const View seen = view();
  EXPECT_FALSE(seen.damaged());
  ASSERT_EQ(seen.manifest.items.size(), 2u);
  EXPECT_FALSE(seen.manifest.items[0].has_object);
  struct stat st{};
  for (const char* name : {"same", "attributes"}) {
    ASSERT_EQ(::stat((root + "/" + name).c_str(), &st), 0);
    EXPECT_EQ(st.st_nlink, 1u) << name;
  }
  write("attributes", "written later");
  EXPECT_EQ(read(object_path(seen.id, seen.manifest.items[1].number)), "replaced");
}

TEST_F(DivergedTest, AnEmptyStoreIsGone) {
  write("f", "f");
  auto store = begin();
  keep(*store, "f");
  settle(*store, Shown::same);
  EXPECT_TRUE(store->gone());
  EXPECT_TRUE(fs::is_empty(area_path + "/diverged"));
}

// One name was replaced, the other still is in the tree: a write there must not reach the store.
TEST_F(DivergedTest, AFileThatTheTreeShowsUnderAnotherNameIsCopied) {
  write("f", "mine");
  ASSERT_EQ(::link((root + "/f").c_str(), (root + "/other").c_str()), 0);
  ASSERT_EQ(::link((root + "/f").c_str(), (root + "/third").c_str()), 0);
  auto store = begin();
  keep(*store, "f");
  keep(*store, "third");
  replace("f", "theirs");
  replace("third", "theirs");
  EXPECT_EQ(settle(*store).shared, 0u);
  write("other", "written later");
  const View seen = view();
  const std::string first = object_path(seen.id, seen.manifest.items.at(0).number);
  const std::string second = object_path(seen.id, seen.manifest.items.at(1).number);
  EXPECT_EQ(read(first), "mine");
  EXPECT_EQ(read(second), "mine");
  EXPECT_TRUE(fs::equivalent(first, second)) << "one copy of one file";
}

TEST_F(DivergedTest, TwoAtOnceAreKeptApart) {
  write("f", "f");
  auto store = begin();
  keep(*store, "f");
  EXPECT_TRUE(view().busy);
  const auto other = Store::open(area.get(), store->id());
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::timeout);
  EXPECT_FALSE(Store::begin(area.get(), about()));
  const std::string id = store->id();
  store.reset();
  EXPECT_FALSE(view().busy);
  EXPECT_TRUE(Store::open(area.get(), id));
}

TEST_F(DivergedTest, NoStoreOfThatNameIsNotFound) {
  for (const char* id : {"20270115T080000Z", "..", "", "x/y", "20270115T080000Z+"}) {
    const auto store = Store::open(area.get(), id);
    ASSERT_FALSE(store) << id;
    EXPECT_EQ(store.error().code, ErrorCode::not_found) << id;
  }
}

// A kill after any number of bytes of the manifest: what was whole is there, the rest is kept
// again.
TEST_F(DivergedTest, ACrashAtAnyByteOfTheManifestLosesNothing) {
  write("a", "a");
  write("b", "b");
  std::string id;
  {
    auto store = begin();
    keep(*store, "a");
    keep(*store, "b");
    id = store->id();
  }
  const std::string path = area_path + "/diverged/" + id + "/manifest";
  const std::string whole = read(path);
  for (size_t size = 0; size < whole.size(); ++size) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << whole.substr(0, size);
    const auto seen = list_stores(area.get());
    ASSERT_TRUE(seen) << size;
    auto store = Store::begin(area.get(), about());
    ASSERT_TRUE(store) << size << ": " << store.error().message;
    if ((*store)->id() != id) {  // the first record is not whole, and says whose it is
      ASSERT_TRUE((*store)->discard_all());
      continue;
    }
    keep(**store, "a");
    keep(**store, "b");
    std::vector<std::string> found;
    for (const Item& item : (*store)->manifest().items) {
      ASSERT_TRUE(item.has_object);
      found.push_back(read(object_path(id, item.number)));
    }
    std::ranges::sort(found);
    ASSERT_EQ(found, (std::vector<std::string>{"a", "b"})) << size;
    for (const auto& object : fs::directory_iterator(area_path + "/diverged/" + id + "/objects"))
      fs::remove(object);
    ASSERT_EQ(::link((root + "/a").c_str(), object_path(id, 1).c_str()), 0);
    ASSERT_EQ(::link((root + "/b").c_str(), object_path(id, 2).c_str()), 0);
  }
}

TEST_F(DivergedTest, DamageIsToldAndItsObjectStays) {
  write("a", "a");
  write("b", "b");
  auto store = begin();
  keep(*store, "a");
  keep(*store, "b");
  replace("a", "theirs");
  replace("b", "theirs");
  settle(*store);
  const std::string path = manifest_path(*store);
  const std::string record = encode_item(store->manifest().items.at(0));
  store.reset();
  std::string bytes = read(path);
  bytes[bytes.find(record) + 3] ^= 1;
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  const View seen = view();
  EXPECT_TRUE(seen.damaged());
  EXPECT_EQ(seen.manifest.damaged_frames, 1u);
  EXPECT_EQ(seen.unclaimed, std::vector<uint64_t>{1});
  ASSERT_EQ(seen.manifest.items.size(), 1u);
  auto again = Store::open(area.get(), seen.id);
  ASSERT_TRUE(again);
  ASSERT_TRUE((*again)->discard({seen.manifest.items[0].number}));
  EXPECT_FALSE((*again)->gone()) << "an object that nobody can name is not thrown away";
  EXPECT_EQ(read(object_path(seen.id, 1)), "a");
  ASSERT_TRUE((*again)->discard_all());
  EXPECT_TRUE(list_stores(area.get())->empty());
}

TEST_F(DivergedTest, AMissingObjectIsTold) {
  write("a", "a");
  auto store = begin();
  keep(*store, "a");
  fs::remove(object_path(store->id(), 1));
  EXPECT_EQ(view().missing, std::vector<uint64_t>{1});
}

TEST_F(DivergedTest, DiscardingIsDurableAndTheLastTakesTheStore) {
  for (const char* name : {"a", "b"}) write(name, name);
  auto store = begin();
  for (const char* name : {"a", "b"}) keep(*store, name);
  for (const char* name : {"a", "b"}) replace(name, "theirs");
  settle(*store);
  ASSERT_TRUE(store->discard({1}));
  EXPECT_FALSE(fs::exists(object_path(store->id(), 1)));
  EXPECT_EQ(view().manifest.items.size(), 1u);
  EXPECT_FALSE(view().damaged());
  ASSERT_TRUE(store->discard({2}));
  EXPECT_TRUE(store->gone());
  EXPECT_TRUE(fs::is_empty(area_path + "/diverged"));
}

// Where no link can be made, a copy is.
class Immutable {
 public:
  explicit Immutable(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    set(FS_IMMUTABLE_FL);
  }
  ~Immutable() { set(0); }
  Immutable(const Immutable&) = delete;
  Immutable& operator=(const Immutable&) = delete;
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  void set(int flags) { ok_ = ::ioctl(fd_.get(), FS_IOC_SETFLAGS, &flags) == 0; }
  Fd fd_;
  bool ok_ = false;
};

class DivergedOnExt4 : public DivergedTest {
 protected:
  DivergedOnExt4() { use(); }
  void use() {
    volume_ext4 = std::make_unique<Volume>("ext4", 32);
    root = volume_ext4->mount() + "/tree";
    area_path = volume_ext4->mount() + "/staging";
  }
  std::unique_ptr<Volume> volume_ext4;
};

TEST_F(DivergedOnExt4, WhatCannotBeLinkedIsCopied) {
  write("f", "mine");
  ASSERT_EQ(::setxattr((root + "/f").c_str(), "user.x", "y", 1, 0), 0);
  auto store = begin();
  {
    const Immutable held(root + "/f");
    ASSERT_TRUE(held.ok());
    keep(*store, "f");
    keep(*store, "f");
    ASSERT_EQ(store->manifest().items.size(), 1u);
  }
  const std::string object = object_path(store->id(), 1);
  EXPECT_EQ(read(object), "mine");
  EXPECT_FALSE(fs::equivalent(object, root + "/f"));
  EXPECT_EQ(::getxattr(object.c_str(), "user.x", nullptr, 0), 1);
  // It was changed since, and still cannot be linked: the newer version is copied over the older.
  write("f", "later");
  {
    const Immutable held(root + "/f");
    keep(*store, "f");
  }
  EXPECT_EQ(store->manifest().items.size(), 1u);
  EXPECT_EQ(read(object), "later");
  replace("f", "theirs");
  EXPECT_EQ(settle(*store).items, 1u);
}

TEST_F(DivergedOnExt4, OnAFullDiskNothingIsHalfKept) {
  write("f", "mine");
  auto store = begin();
  keep(*store, "f");
  for (int n = 0; n < 4; ++n) write("g" + std::to_string(n), std::string(3000, 'g'));
  const int filler = ::open((root + "/filler").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  std::string chunk(4096, 'x');
  while (::write(filler, chunk.data(), chunk.size()) > 0) {
  }
  ::close(filler);
  bool failed = false;
  for (int n = 0; n < 4 && !failed; ++n) {
    const std::string name = "g" + std::to_string(n);
    Subject big = subject(name);
    big.path = std::string(3000 / 250 * 250, 'd');
    for (size_t at = 200; at < big.path.size(); at += 200) big.path[at] = '/';
    big.path.back() = 'e';
    const auto kept = store->keep(big, tree.get(), name);
    if (!kept) {
      failed = true;
      EXPECT_EQ(kept.error().code, ErrorCode::no_space) << kept.error().message;
    }
  }
  EXPECT_TRUE(failed) << "the disk was not full";
  EXPECT_FALSE(view().manifest.torn_tail);
  EXPECT_EQ(view().manifest.items, store->manifest().items);
  fs::remove(root + "/filler");
  keep(*store, "g3");
  EXPECT_EQ(view().manifest.items, store->manifest().items);
}

}  // namespace
}  // namespace repl::apply::diverged::testing
