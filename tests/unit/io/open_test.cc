#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/unit/io/scratch.h"

namespace repl::io {
namespace {

using test::ScratchDir;

TEST(Open, RootWantsAnAbsolutePathToADirectory) {
  const ScratchDir dir;
  EXPECT_TRUE(open_root(dir.path()));
  EXPECT_EQ(open_root("tmp").error().code, ErrorCode::invalid);
  EXPECT_EQ(open_root("").error().code, ErrorCode::invalid);
  EXPECT_EQ(open_root(std::string("/tmp\0/x", 7)).error().code, ErrorCode::invalid);
  dir.write("file", "");
  EXPECT_EQ(open_root(dir.path("file")).error().code, ErrorCode::not_found);
  EXPECT_EQ(open_root(dir.path("none")).error().code, ErrorCode::not_found);
}

TEST(Open, RootFollowsTheAdministratorsSymlink) {
  const ScratchDir dir;
  ASSERT_TRUE(make_dir(dir.fd(), "real", 0700));
  ASSERT_TRUE(make_symlink(dir.fd(), "link", "real"));
  const Result<Fd> root = open_root(dir.path("link"));
  ASSERT_TRUE(root);
  EXPECT_EQ(stat_fd(root->get())->local.inode, stat_at(dir.fd(), "real")->local.inode);
}

TEST(Open, DirectoriesAreNeverReachedThroughSymlinks) {
  const ScratchDir dir;
  ASSERT_TRUE(make_dir(dir.fd(), "real", 0700));
  for (const char* target : {"real", ".", "..", "/", "/proc/self/cwd"}) {
    ASSERT_TRUE(make_symlink(dir.fd(), "link", target));
    const Result<Fd> opened = open_dir(dir.fd(), "link");
    ASSERT_FALSE(opened) << target;
    EXPECT_TRUE(opened.error().sys_errno == ENOTDIR || opened.error().sys_errno == ELOOP);
    EXPECT_FALSE(open_read(dir.fd(), "link"));
    EXPECT_FALSE(open_write(dir.fd(), "link"));
    ASSERT_TRUE(unlink_at(dir.fd(), "link"));
  }
  dir.write("secret", "s");
  ASSERT_TRUE(make_symlink(dir.fd(), "to_file", "secret"));
  EXPECT_EQ(open_read(dir.fd(), "to_file").error().code, ErrorCode::changed);
  EXPECT_EQ(open_write(dir.fd(), "to_file").error().code, ErrorCode::changed);
}

TEST(Open, DirectoriesAreNeverReachedThroughMounts) {
  test::enter_private_mounts();  // a descriptor opened before would not see the mount
  const ScratchDir dir;
  ASSERT_TRUE(make_dir(dir.fd(), "mounted", 0700));
  ASSERT_TRUE(make_dir(dir.fd(), "other", 0700));
  test::bind_mount(dir.path("other"), dir.path("mounted"));
  const Result<Fd> opened = open_dir(dir.fd(), "mounted");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().sys_errno, EXDEV);
  EXPECT_NE(stat_at(dir.fd(), "mounted")->mount, stat_at(dir.fd(), "other")->mount);
  EXPECT_EQ(stat_at(dir.fd(), "mounted")->local.inode, stat_at(dir.fd(), "other")->local.inode)
      << "the inode alone does not tell a bind mount";
  ASSERT_EQ(::umount(dir.path("mounted").c_str()), 0);
  EXPECT_TRUE(open_dir(dir.fd(), "mounted"));
}

TEST(Open, AFifoInTheFilesPlaceDoesNotBlock) {
  const ScratchDir dir;
  ASSERT_TRUE(make_node(dir.fd(), "fifo", FileType::fifo, 0));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(open_read(dir.fd(), "fifo").error().code, ErrorCode::changed);
  EXPECT_EQ(open_write(dir.fd(), "fifo").error().code, ErrorCode::changed);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Open, OnlyRegularFilesAreRead) {
  const ScratchDir dir;
  ASSERT_TRUE(make_dir(dir.fd(), "dir", 0700));
  ASSERT_TRUE(make_node(dir.fd(), "socket", FileType::socket, 0));
  ASSERT_TRUE(make_node(dir.fd(), "null", FileType::char_device, 0x103));
  for (const char* name : {"dir", "socket", "null"}) {
    EXPECT_EQ(open_read(dir.fd(), name).error().code, ErrorCode::changed) << name;
    EXPECT_EQ(open_write(dir.fd(), name).error().code, ErrorCode::changed) << name;
    EXPECT_TRUE(open_path(dir.fd(), name)) << name;
  }
  EXPECT_EQ(open_read(dir.fd(), "none").error().code, ErrorCode::not_found);
}

TEST(Open, ReadingBlocksLikeAFileAndLeavesTheAccessTime) {
  const ScratchDir dir;
  dir.write("file", "content");
  // Older than mtime: relatime would update it.
  const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
  ASSERT_EQ(::utimensat(dir.fd(), "file", times, 0), 0);
  const Result<Fd> fd = open_read(dir.fd(), "file");
  ASSERT_TRUE(fd);
  EXPECT_EQ(::fcntl(fd->get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
  char buffer[16];
  EXPECT_EQ(*read_at(fd->get(), 0, buffer, sizeof buffer), 7U);
  struct stat st{};
  ASSERT_EQ(::fstat(fd->get(), &st), 0);
  EXPECT_EQ(st.st_atim.tv_sec, 1000);
}

TEST(Open, ListingLeavesTheAccessTimeOfDirectories) {
  const ScratchDir dir;
  ASSERT_TRUE(make_dir(dir.fd(), "sub", 0700));
  const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
  ASSERT_EQ(::utimensat(dir.fd(), "sub", times, 0), 0);
  const Result<Fd> sub = open_dir(dir.fd(), "sub");
  ASSERT_TRUE(list_dir(sub->get(), [](std::string_view, FileType) { return true; }));
  struct stat st{};
  ASSERT_EQ(::fstat(sub->get(), &st), 0);
  EXPECT_EQ(st.st_atim.tv_sec, 1000);
}

TEST(Open, CreateIsExclusiveAndPrivate) {
  const ScratchDir dir;
  const mode_t old = ::umask(0);
  const Result<Fd> fd = create_file(dir.fd(), "new");
  ::umask(old);
  ASSERT_TRUE(fd);
  EXPECT_EQ(stat_fd(fd->get())->attr.mode, 0600);
  EXPECT_EQ(create_file(dir.fd(), "new").error().sys_errno, EEXIST);
  // A planted symlink is not created through.
  ASSERT_TRUE(make_symlink(dir.fd(), "planted", "elsewhere"));
  EXPECT_FALSE(create_file(dir.fd(), "planted"));
  EXPECT_EQ(stat_at(dir.fd(), "elsewhere").error().code, ErrorCode::not_found);
}

// Somebody swaps a directory and a symlink that leads out, as fast as they can: an open succeeds on
// the directory or fails, and never gets out.
TEST(Open, SymlinkSwapsNeverLeadOut) {
  const ScratchDir dir;
  const ScratchDir outside;
  ASSERT_TRUE(make_dir(dir.fd(), "name", 0700));
  ASSERT_TRUE(make_symlink(dir.fd(), "evil", outside.path()));
  const uint64_t good = stat_at(dir.fd(), "name")->local.inode;
  std::atomic<bool> stop = false;
  std::thread swapper([&] {
    while (!stop) static_cast<void>(rename_exchange(dir.fd(), "name", dir.fd(), "evil"));
  });
  int opened = 0;
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Result<Fd> fd = open_dir(dir.fd(), "name");
    if (fd) {
      ++opened;
      ASSERT_EQ(stat_fd(fd->get())->local.inode, good);
    } else {
      ++refused;
    }
  }
  stop = true;
  swapper.join();
  EXPECT_GT(opened, 0);
  EXPECT_GT(refused, 0);
}

TEST(Open, WalksDeeperThanAPathCanSay) {
  const ScratchDir dir;
  const std::string name(255, 'd');
  Fd at(::dup(dir.fd()));
  for (int level = 0; level < 40; ++level) {  // 40 x 256 bytes
    ASSERT_TRUE(make_dir(at.get(), name, 0700));
    Result<Fd> next = open_dir(at.get(), name);
    ASSERT_TRUE(next) << next.error().message;
    at = std::move(*next);
  }
  const Result<Fd> file = create_file(at.get(), "bottom");
  ASSERT_TRUE(file);
  EXPECT_EQ(stat_at(at.get(), "bottom")->attr.type, FileType::regular);
  EXPECT_TRUE(read_xattrs_at(at.get(), "bottom"));
}

}  // namespace
}  // namespace repl::io
