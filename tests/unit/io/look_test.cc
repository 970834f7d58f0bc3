#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>

#include <set>

#include "engine/base/clock.h"
#include "tests/unit/io/scratch.h"

namespace repl::io {
namespace {

using test::ScratchDir;

class LookTest : public ::testing::TestWithParam<const char*> {
 protected:
  ScratchDir dir_{test::mounted(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(Filesystems, LookTest, ::testing::Values("tmpfs", "ext4", "xfs", "btrfs"));

TEST_P(LookTest, StatSaysEveryType) {
  dir_.write("file", "12345");
  ASSERT_EQ(::chmod(dir_.path("file").c_str(), 06751), 0);
  ASSERT_TRUE(make_dir(dir_.fd(), "dir", 0700));
  ASSERT_TRUE(make_symlink(dir_.fd(), "link", "nowhere"));
  ASSERT_TRUE(make_node(dir_.fd(), "fifo", FileType::fifo, 77));
  ASSERT_TRUE(make_node(dir_.fd(), "socket", FileType::socket, 0));
  ASSERT_TRUE(make_node(dir_.fd(), "char", FileType::char_device, makedev(1, 3)));
  ASSERT_TRUE(make_node(dir_.fd(), "block", FileType::block_device, makedev(259, 0x3FFFF)));

  const auto type = [&](const char* name) { return stat_at(dir_.fd(), name)->attr.type; };
  EXPECT_EQ(type("dir"), FileType::directory);
  EXPECT_EQ(type("fifo"), FileType::fifo);
  EXPECT_EQ(type("socket"), FileType::socket);
  const Result<Stat> file = stat_at(dir_.fd(), "file");
  EXPECT_EQ(file->attr.type, FileType::regular);
  EXPECT_EQ(file->attr.mode, 06751);
  EXPECT_EQ(file->attr.size, 5U);
  EXPECT_EQ(file->attr.rdev, 0U);
  EXPECT_EQ(file->nlink, 1U);
  EXPECT_NE(file->mount, 0U);
  const Result<Stat> link = stat_at(dir_.fd(), "link");
  EXPECT_EQ(link->attr.type, FileType::symlink);
  EXPECT_EQ(link->attr.mode, 0777);
  EXPECT_EQ(link->attr.size, 0U) << "only regular files have a size";
  EXPECT_EQ(stat_at(dir_.fd(), "dir")->attr.size, 0U);
  EXPECT_EQ(stat_at(dir_.fd(), "fifo")->attr.rdev, 0U);
  EXPECT_EQ(stat_at(dir_.fd(), "char")->attr.rdev, makedev(1, 3));
  const Result<Stat> block = stat_at(dir_.fd(), "block");
  EXPECT_EQ(block->attr.type, FileType::block_device);
  EXPECT_EQ(block->attr.rdev, makedev(259, 0x3FFFF));
}

TEST_P(LookTest, StatAgreesWithTheLibraryAndWithItself) {
  dir_.write("file", "x");
  struct timespec times[2] = {{.tv_sec = 5, .tv_nsec = 1},
                              {.tv_sec = -86400, .tv_nsec = 999999999}};
  if (std::string_view(GetParam()) == "xfs") times[1].tv_sec = 86400;  // still exact there
  ASSERT_EQ(::utimensat(dir_.fd(), "file", times, 0), 0);
  struct stat st{};
  ASSERT_EQ(::fstatat(dir_.fd(), "file", &st, 0), 0);
  const Result<Stat> by_name = stat_at(dir_.fd(), "file");
  EXPECT_EQ(by_name->local.inode, st.st_ino);
  EXPECT_EQ(by_name->device, st.st_dev);
  EXPECT_EQ(by_name->attr.mtime.seconds, times[1].tv_sec);
  EXPECT_EQ(by_name->attr.mtime.nanoseconds, 999999999U);
  EXPECT_EQ(by_name->local.ctime.seconds, st.st_ctim.tv_sec);
  const Result<Fd> fd = open_path(dir_.fd(), "file");
  const Result<Stat> by_fd = stat_fd(fd->get());
  EXPECT_EQ(by_fd->attr, by_name->attr);
  EXPECT_EQ(by_fd->local.inode, by_name->local.inode);
  EXPECT_EQ(by_fd->mount, by_name->mount);
}

TEST_P(LookTest, SeenIsNeverLaterThanTheTruth) {
  dir_.write("file", "x");
  for (int i = 0; i < 1000; ++i) {
    const Result<Stat> stat = stat_at(dir_.fd(), "file");
    const int64_t after = SystemClock().wall_ns();
    ASSERT_LE(stat->local.seen_wall_ns, after);
    ASSERT_GT(stat->local.seen_wall_ns, after - 1'000'000'000);
  }
}

TEST_P(LookTest, NeverFollowsASymlink) {
  ASSERT_TRUE(make_dir(dir_.fd(), "dir", 0700));
  ASSERT_TRUE(make_symlink(dir_.fd(), "to_dir", "dir"));
  EXPECT_EQ(stat_at(dir_.fd(), "to_dir")->attr.type, FileType::symlink);
  EXPECT_NE(*handle_at(dir_.fd(), "to_dir"), *handle_at(dir_.fd(), "dir"));
  EXPECT_EQ(*read_link(dir_.fd(), "to_dir"), "dir");
}

TEST_P(LookTest, ReadsTheLongestTarget) {
  const std::string target(std::string_view(GetParam()) == "xfs" ? 1023 : 3000, 't');
  ASSERT_TRUE(make_symlink(dir_.fd(), "link", target));
  EXPECT_EQ(*read_link(dir_.fd(), "link"), target);
  dir_.write("file", "");
  EXPECT_EQ(read_link(dir_.fd(), "file").error().code, ErrorCode::changed);
  EXPECT_EQ(read_link(dir_.fd(), "none").error().code, ErrorCode::not_found);
}

TEST_P(LookTest, HandlesTellInodesApart) {
  ASSERT_TRUE(make_dir(dir_.fd(), "a", 0700));
  ASSERT_TRUE(make_dir(dir_.fd(), "b", 0700));
  const Result<std::string> a = handle_at(dir_.fd(), "a");
  EXPECT_GT(a->size(), 4U);
  EXPECT_NE(*a, *handle_at(dir_.fd(), "b"));
  ASSERT_TRUE(rename_noreplace(dir_.fd(), "a", dir_.fd(), "c"));
  EXPECT_EQ(*handle_at(dir_.fd(), "c"), *a);
  const Result<Fd> fd = open_path(dir_.fd(), "c");
  EXPECT_EQ(*handle_of(fd->get()), *a);
}

TEST(Look, HandleIsEmptyWhereThereAreNone) {
  const Result<Fd> proc = open_root("/proc/self");
  ASSERT_TRUE(proc);
  EXPECT_TRUE(handle_of(proc->get()));
}

TEST_P(LookTest, ListsEveryByteAndManyNames) {
  std::set<std::string> made;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') continue;
    made.insert(byte == '.' ? "..." : std::string(3, static_cast<char>(byte)));
  }
  made.insert(std::string(255, '\xFF'));
  for (int i = 0; i < 3000; ++i)
    made.insert("a name long enough to fill buffers " + std::to_string(i));
  for (const std::string& name : made) ASSERT_TRUE(create_file(dir_.fd(), name)) << name;
  for (int round = 0; round < 2; ++round) {  // the second starts from the beginning again
    std::set<std::string> listed;
    const Status done = list_dir(dir_.fd(), [&](std::string_view name, FileType type) {
      EXPECT_EQ(type, FileType::regular);
      EXPECT_TRUE(listed.emplace(name).second) << name;
      return true;
    });
    ASSERT_TRUE(done);
    EXPECT_EQ(listed, made);
  }
}

TEST_P(LookTest, ListingStopsWhenToldTo) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(create_file(dir_.fd(), std::to_string(i)));
  int seen = 0;
  ASSERT_TRUE(list_dir(dir_.fd(), [&](std::string_view, FileType) { return ++seen < 2; }));
  EXPECT_EQ(seen, 2);
}

TEST(Look, ListingAFileIsAnError) {
  const ScratchDir dir;
  dir.write("file", "");
  const Result<Fd> file = open_read(dir.fd(), "file");
  const Status done = list_dir(file->get(), [](std::string_view, FileType) { return true; });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().sys_errno, ENOTDIR);
}

// What a peer may send as a name must not reach the kernel, whatever the operation.
TEST(Look, EveryOperationRefusesWhatIsNoLeaf) {
  const ScratchDir dir;
  dir.write("ok", "1");
  ASSERT_TRUE(make_dir(dir.fd(), "sub", 0700));
  const Result<Fd> sub = open_dir(dir.fd(), "sub");
  const int at = sub->get();
  using std::string_view_literals::operator""sv;
  const std::string long_name(256, 'n');
  for (const std::string_view bad : {""sv, "."sv, ".."sv, "../ok"sv, "/etc/passwd"sv, "a/b"sv,
                                     "sub/"sv, "ok\0x"sv, "\0"sv, std::string_view(long_name)}) {
    const std::vector<Error> errors = {stat_at(at, bad).error(),
                                       read_link(at, bad).error(),
                                       handle_at(at, bad).error(),
                                       read_xattrs_at(at, bad).error(),
                                       open_dir(at, bad).error(),
                                       open_read(at, bad).error(),
                                       open_path(at, bad).error(),
                                       create_file(at, bad).error(),
                                       open_write(at, bad).error(),
                                       make_dir(at, bad, 0700).error(),
                                       make_symlink(at, bad, "t").error(),
                                       make_node(at, bad, FileType::fifo, 0).error(),
                                       link_at(at, bad, at, "x").error(),
                                       link_at(dir.fd(), "ok", at, bad).error(),
                                       rename_noreplace(at, bad, at, "x").error(),
                                       rename_noreplace(dir.fd(), "ok", at, bad).error(),
                                       rename_exchange(dir.fd(), "ok", at, bad).error(),
                                       unlink_at(at, bad).error(),
                                       remove_dir(at, bad).error(),
                                       remove_tree(at, bad).error()};
    for (size_t i = 0; i < errors.size(); ++i) {
      EXPECT_EQ(errors[i].code, ErrorCode::invalid) << "operation " << i << " on '" << bad << "'";
    }
  }
  EXPECT_EQ(dir.read("ok"), "1");
}

TEST(Look, ErrorsNameTheOperationAndTheEscapedName) {
  const ScratchDir dir;
  const Error error = stat_at(dir.fd(), "no\nsuch\x1b").error();
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_EQ(error.sys_errno, ENOENT);
  EXPECT_EQ(error.message, "stat no\\x0asuch\\x1b: No such file or directory");
}

}  // namespace
}  // namespace repl::io
