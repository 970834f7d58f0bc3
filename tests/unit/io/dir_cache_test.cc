#include "engine/io/dir_cache.h"

#include <sys/stat.h>

#include "engine/base/limits.h"
#include "tests/unit/io/scratch.h"

namespace repl::io {
namespace {

using test::ScratchDir;

class FakeParents final : public DirParents {
 public:
  [[nodiscard]] std::optional<Place> place_of(DirId dir) const override {
    const auto found = places.find(dir);
    return found == places.end() ? std::nullopt : std::optional<Place>(found->second);
  }
  std::map<DirId, Place> places;
};

class DirCacheTest : public ::testing::Test {
 protected:
  // Makes the directory on disk and notes it in the index.
  void make(uint64_t id, uint64_t parent, const std::string& name) {
    const Result<int> at = cache_.open(DirId{parent});
    ASSERT_TRUE(at) << at.error().message;
    ASSERT_TRUE(make_dir(*at, name, 0700));
    parents_.places[DirId{id}] = {
        .parent = DirId{parent}, .name = name, .inode = stat_at(*at, name)->local.inode};
  }
  uint64_t inode_of(uint64_t id) {
    const Result<int> fd = cache_.open(DirId{id});
    EXPECT_TRUE(fd) << fd.error().message;
    return fd ? stat_fd(*fd)->local.inode : 0;
  }
  ErrorCode error_of(uint64_t id) {
    const Result<int> fd = cache_.open(DirId{id});
    EXPECT_FALSE(fd);
    return fd ? ErrorCode::internal : fd.error().code;
  }

  bool ready_ = (test::enter_private_mounts(), true);
  ScratchDir dir_;
  FakeParents parents_;
  DirCache cache_{Fd(::dup(dir_.fd())), parents_};
};

TEST_F(DirCacheTest, OpensTheRootAndWhatIsBelow) {
  EXPECT_EQ(*cache_.open(root_dir), cache_.root());
  make(2, 1, "a");
  make(3, 2, "b");
  EXPECT_EQ(inode_of(3), parents_.places[DirId{3}].inode);
  EXPECT_EQ(*cache_.open(DirId{3}), *cache_.open(DirId{3})) << "the second time from the cache";
}

TEST_F(DirCacheTest, UnknownAndGone) {
  EXPECT_EQ(error_of(9), ErrorCode::not_found);
  make(2, 1, "a");
  make(3, 2, "b");
  EXPECT_EQ(inode_of(3), parents_.places[DirId{3}].inode);
  ASSERT_TRUE(remove_tree(dir_.fd(), "a"));
  cache_.next_generation();
  EXPECT_EQ(error_of(3), ErrorCode::not_found);
  EXPECT_EQ(error_of(2), ErrorCode::not_found);
}

TEST_F(DirCacheTest, AnotherInodeIsChanged) {
  make(2, 1, "a");
  ASSERT_TRUE(rename_noreplace(dir_.fd(), "a", dir_.fd(), "old"));
  ASSERT_TRUE(make_dir(dir_.fd(), "a", 0700));
  EXPECT_EQ(error_of(2), ErrorCode::changed);
  parents_.places[DirId{2}].inode = 0;  // not checked
  EXPECT_TRUE(cache_.open(DirId{2}));
}

TEST_F(DirCacheTest, SomethingElseInItsPlaceIsChanged) {
  make(2, 1, "a");
  ASSERT_TRUE(remove_dir(dir_.fd(), "a"));
  ASSERT_TRUE(make_symlink(dir_.fd(), "a", "/"));
  EXPECT_EQ(error_of(2), ErrorCode::changed);
  ASSERT_TRUE(unlink_at(dir_.fd(), "a"));
  dir_.write("a", "");
  EXPECT_EQ(error_of(2), ErrorCode::changed);
}

// A directory that was moved out of the root is not used any more, though its descriptor is still
// good.
TEST_F(DirCacheTest, MovedOutIsNoticedWithTheNextGeneration) {
  const ScratchDir outside;
  make(2, 1, "a");
  make(3, 2, "b");
  EXPECT_EQ(inode_of(3), parents_.places[DirId{3}].inode);
  ASSERT_TRUE(rename_noreplace(dir_.fd(), "a", outside.fd(), "a"));
  EXPECT_TRUE(cache_.open(DirId{3})) << "within a generation the cache is believed";
  cache_.next_generation();
  EXPECT_EQ(error_of(3), ErrorCode::not_found);
  // A copy of the same shape in its place is still another directory.
  ASSERT_TRUE(make_dir(dir_.fd(), "a", 0700));
  EXPECT_EQ(error_of(3), ErrorCode::changed);
}

TEST_F(DirCacheTest, MovedInsideFollowsTheIndex) {
  make(2, 1, "a");
  make(3, 1, "c");
  make(4, 2, "b");
  const uint64_t inode = inode_of(4);
  ASSERT_TRUE(rename_noreplace(*cache_.open(DirId{2}), "b", *cache_.open(DirId{3}), "moved"));
  cache_.next_generation();
  EXPECT_EQ(error_of(4), ErrorCode::not_found);
  parents_.places[DirId{4}] = {.parent = DirId{3}, .name = "moved", .inode = inode};
  EXPECT_EQ(inode_of(4), inode);
}

TEST_F(DirCacheTest, AMountOnTopIsChanged) {
  make(2, 1, "a");
  make(3, 2, "b");
  EXPECT_NE(inode_of(3), 0U);
  // The very same inode, through another mount.
  test::bind_mount(dir_.path("a"), dir_.path("a"));
  cache_.next_generation();
  EXPECT_EQ(error_of(2), ErrorCode::changed);
  EXPECT_EQ(error_of(3), ErrorCode::changed);
  ASSERT_EQ(::umount(dir_.path("a").c_str()), 0);
  EXPECT_TRUE(cache_.open(DirId{3}));
}

TEST_F(DirCacheTest, HoldsNoMoreThanItsBoundAndOpensAgain) {
  const auto count_fds = [] {
    size_t count = 0;
    const Result<Fd> fds = open_root("/proc/self/fd");
    EXPECT_TRUE(list_dir(fds->get(), [&](std::string_view, FileType) { return ++count, true; }));
    return count;
  };
  const size_t before = count_fds();
  const uint64_t last = limits::dir_fds_max * 2 + 1;
  for (uint64_t id = 2; id <= last; ++id) make(id, 1, "d" + std::to_string(id));
  for (int round = 0; round < 2; ++round) {
    for (uint64_t id = 2; id <= last; ++id) {
      ASSERT_EQ(inode_of(id), parents_.places[DirId{id}].inode);
    }
    EXPECT_LE(count_fds(), before + limits::dir_fds_max);
    cache_.next_generation();
  }
}

TEST_F(DirCacheTest, WalksDeeperThanItHolds) {
  const uint64_t depth = limits::dir_fds_max + 100;
  for (uint64_t id = 2; id <= depth; ++id) make(id, id - 1, "d");
  for (int round = 0; round < 3; ++round) {
    cache_.next_generation();
    EXPECT_EQ(inode_of(depth), parents_.places[DirId{depth}].inode);
    EXPECT_EQ(inode_of(2), parents_.places[DirId{2}].inode);
  }
  for (uint64_t id = 2; id <= depth; ++id) cache_.forget(DirId{id});
  EXPECT_EQ(inode_of(depth), parents_.places[DirId{depth}].inode);
}

TEST_F(DirCacheTest, ALoopInADamagedIndexEnds) {
  parents_.places[DirId{2}] = {.parent = DirId{3}, .name = "a"};
  parents_.places[DirId{3}] = {.parent = DirId{2}, .name = "b"};
  EXPECT_EQ(error_of(2), ErrorCode::limit);
}

TEST_F(DirCacheTest, AnIllegalNameInADamagedIndexIsRefused) {
  parents_.places[DirId{2}] = {.parent = root_dir, .name = ".."};
  EXPECT_EQ(error_of(2), ErrorCode::invalid);
}

}  // namespace
}  // namespace repl::io
