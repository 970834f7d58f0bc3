#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <thread>

#include "tests/unit/io/scratch.h"

namespace repl::io {
namespace {

using test::ScratchDir;

class MoveTest : public ::testing::TestWithParam<const char*> {
 protected:
  ScratchDir dir_{test::mounted(GetParam())};
  [[nodiscard]] bool exists(std::string_view name) const {
    return stat_at(dir_.fd(), name).has_value();
  }
};
INSTANTIATE_TEST_SUITE_P(Filesystems, MoveTest, ::testing::Values("tmpfs", "ext4", "xfs", "btrfs"));

TEST_P(MoveTest, Renames) {
  dir_.write("a", "A");
  dir_.write("b", "B");
  EXPECT_EQ(rename_noreplace(dir_.fd(), "a", dir_.fd(), "b").error().sys_errno, EEXIST);
  ASSERT_TRUE(rename_exchange(dir_.fd(), "a", dir_.fd(), "b"));
  EXPECT_EQ(dir_.read("a"), "B");
  EXPECT_EQ(dir_.read("b"), "A");
  ASSERT_TRUE(make_dir(dir_.fd(), "sub", 0700));
  const Result<Fd> sub = open_dir(dir_.fd(), "sub");
  ASSERT_TRUE(rename_noreplace(dir_.fd(), "b", sub->get(), "c"));
  EXPECT_FALSE(exists("b"));
  EXPECT_EQ(dir_.read("sub/c"), "A");
  EXPECT_EQ(rename_exchange(dir_.fd(), "none", sub->get(), "c").error().code, ErrorCode::not_found);
}

TEST_P(MoveTest, LinksNeverFollow) {
  dir_.write("file", "x");
  ASSERT_TRUE(make_symlink(dir_.fd(), "sym", "file"));
  ASSERT_TRUE(link_at(dir_.fd(), "sym", dir_.fd(), "sym2"));
  EXPECT_EQ(stat_at(dir_.fd(), "sym2")->attr.type, FileType::symlink);
  ASSERT_TRUE(link_at(dir_.fd(), "file", dir_.fd(), "file2"));
  EXPECT_EQ(stat_at(dir_.fd(), "file")->nlink, 2U);
}

TEST_P(MoveTest, SymlinkTargetsAreChecked) {
  EXPECT_EQ(make_symlink(dir_.fd(), "l", "").error().code, ErrorCode::invalid);
  EXPECT_EQ(make_symlink(dir_.fd(), "l", std::string(4096, 't')).error().code, ErrorCode::invalid);
  EXPECT_EQ(make_symlink(dir_.fd(), "l", std::string("a\0b", 3)).error().code, ErrorCode::invalid);
  EXPECT_TRUE(make_symlink(dir_.fd(), "l", "\xFF\n/../.."));
}

TEST_P(MoveTest, OnlySpecialFilesAreNodes) {
  EXPECT_EQ(make_node(dir_.fd(), "n", FileType::regular, 0).error().code, ErrorCode::invalid);
  EXPECT_EQ(make_node(dir_.fd(), "n", FileType::directory, 0).error().code, ErrorCode::invalid);
}

TEST_P(MoveTest, UnlinkAndRemoveDirKeepToTheirKind) {
  ASSERT_TRUE(make_dir(dir_.fd(), "dir", 0700));
  dir_.write("file", "");
  EXPECT_EQ(unlink_at(dir_.fd(), "dir").error().sys_errno, EISDIR);
  EXPECT_EQ(remove_dir(dir_.fd(), "file").error().sys_errno, ENOTDIR);
  EXPECT_TRUE(remove_dir(dir_.fd(), "dir"));
  EXPECT_TRUE(unlink_at(dir_.fd(), "file"));
}

TEST_P(MoveTest, RemoveTreeTakesEverythingAndFollowsNothing) {
  const ScratchDir outside(test::mounted(GetParam()));
  outside.write("precious", "p");
  ASSERT_TRUE(make_dir(dir_.fd(), "t", 0700));
  const Result<Fd> t = open_dir(dir_.fd(), "t");
  ASSERT_TRUE(make_symlink(t->get(), "out", outside.path()));
  ASSERT_TRUE(make_node(t->get(), "fifo", FileType::fifo, 0));
  ASSERT_TRUE(make_node(t->get(), "dev", FileType::char_device, makedev(1, 3)));
  for (int d = 0; d < 40; ++d) {
    const std::string name = "d" + std::to_string(d);
    ASSERT_TRUE(make_dir(t->get(), name, 0000));
    const Result<Fd> sub = open_dir(t->get(), name);
    for (int f = 0; f < 50; ++f) ASSERT_TRUE(create_file(sub->get(), "f" + std::to_string(f)));
    ASSERT_TRUE(make_dir(sub->get(), "empty", 0700));
  }
  ASSERT_TRUE(remove_tree(dir_.fd(), "t"));
  EXPECT_FALSE(exists("t"));
  EXPECT_EQ(outside.read("precious"), "p");
}

TEST_P(MoveTest, RemoveTreeTakesSingleThings) {
  dir_.write("file", "");
  ASSERT_TRUE(make_symlink(dir_.fd(), "link", "."));
  ASSERT_TRUE(make_dir(dir_.fd(), "empty", 0700));
  EXPECT_TRUE(remove_tree(dir_.fd(), "file"));
  EXPECT_TRUE(remove_tree(dir_.fd(), "link"));
  EXPECT_TRUE(remove_tree(dir_.fd(), "empty"));
  EXPECT_EQ(remove_tree(dir_.fd(), "none").error().code, ErrorCode::not_found);
}

TEST_P(MoveTest, RemoveTreeHasNoDepthLimit) {
  // Each level has a file, a directory beside the chain, and names that the removal itself would
  // choose.
  Fd at(::dup(dir_.fd()));
  for (int level = 0; level < 5000; ++level) {
    ASSERT_TRUE(make_dir(at.get(), "deep", 0700));
    Result<Fd> next = open_dir(at.get(), "deep");
    ASSERT_TRUE(next);
    at = std::move(*next);
    if (level % 100 == 0) {
      ASSERT_TRUE(make_dir(at.get(), "repl-raised-" + std::to_string(level / 100), 0700));
      ASSERT_TRUE(create_file(at.get(), "repl-raised-1000"));
    }
  }
  at.reset();
  const Status done = remove_tree(dir_.fd(), "deep");
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_FALSE(exists("deep"));
}

TEST_P(MoveTest, RemoveTreeStopsAtMountsAndTakesTheRest) {
  const ScratchDir other(test::mounted(GetParam()));
  other.write("precious", "p");
  ASSERT_TRUE(make_dir(dir_.fd(), "t", 0700));
  const Result<Fd> t = open_dir(dir_.fd(), "t");
  ASSERT_TRUE(make_dir(t->get(), "mnt", 0700));
  ASSERT_TRUE(create_file(t->get(), "file"));
  test::bind_mount(other.path(), dir_.path("t/mnt"));
  EXPECT_EQ(remove_tree(dir_.fd(), "t").error().sys_errno, EXDEV);
  EXPECT_EQ(other.read("precious"), "p");
  EXPECT_FALSE(stat_at(t->get(), "file"));
  ASSERT_EQ(::umount(dir_.path("t/mnt").c_str()), 0);
  EXPECT_TRUE(remove_tree(dir_.fd(), "t"));
}

TEST_P(MoveTest, RemoveTreeSurvivesSomebodySwappingDirectoriesForSymlinks) {
  const ScratchDir outside(test::mounted(GetParam()));
  for (int i = 0; i < 200; ++i) outside.write("precious" + std::to_string(i), "p");
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(make_dir(dir_.fd(), "t", 0700));
    const Result<Fd> t = open_dir(dir_.fd(), "t");
    for (int d = 0; d < 20; ++d) {
      ASSERT_TRUE(make_dir(t->get(), "d" + std::to_string(d), 0700));
      ASSERT_TRUE(make_symlink(t->get(), "s" + std::to_string(d), outside.path()));
    }
    std::atomic<bool> stop = false;
    std::thread swapper([&] {
      for (int d = 0; !stop; d = (d + 1) % 20) {
        const std::string number = std::to_string(d);
        static_cast<void>(rename_exchange(t->get(), "d" + number, t->get(), "s" + number));
      }
    });
    static_cast<void>(remove_tree(dir_.fd(), "t"));
    stop = true;
    swapper.join();
    static_cast<void>(remove_tree(dir_.fd(), "t"));
    EXPECT_FALSE(exists("t"));
  }
  for (int i = 0; i < 200; ++i) EXPECT_EQ(outside.read("precious" + std::to_string(i)), "p");
}

}  // namespace
}  // namespace repl::io
