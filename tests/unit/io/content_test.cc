#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "tests/unit/io/scratch.h"

namespace repl::io {
namespace {

using test::ScratchDir;

std::string pattern(size_t size, unsigned seed = 1) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<char>(seed >> 24);
  }
  return bytes;
}

class ContentTest : public ::testing::TestWithParam<const char*> {
 protected:
  ScratchDir dir_{test::mounted(GetParam())};
  Fd make(std::string_view name, std::string_view bytes) {
    Result<Fd> fd = create_file(dir_.fd(), name);
    EXPECT_TRUE(fd);
    EXPECT_TRUE(write_at(fd->get(), 0, bytes));
    return std::move(*fd);
  }
};
INSTANTIATE_TEST_SUITE_P(Filesystems, ContentTest,
                         ::testing::Values("tmpfs", "ext4", "xfs", "btrfs"));

TEST_P(ContentTest, ReadsAreShortOnlyAtTheEnd) {
  const std::string bytes = pattern(100'000);
  const Fd fd = make("file", bytes);
  std::string buffer(200'000, '\0');
  EXPECT_EQ(*read_at(fd.get(), 0, buffer.data(), buffer.size()), bytes.size());
  EXPECT_EQ(buffer.substr(0, bytes.size()), bytes);
  EXPECT_EQ(*read_at(fd.get(), 99'999, buffer.data(), 10), 1U);
  EXPECT_EQ(*read_at(fd.get(), 100'000, buffer.data(), 10), 0U);
  EXPECT_EQ(*read_at(fd.get(), 1ULL << 40, buffer.data(), 10), 0U);
  EXPECT_FALSE(read_at(-1, 0, buffer.data(), 10));
}

TEST_P(ContentTest, HolesAreFoundAndMade) {
  constexpr uint64_t mib = 1 << 20;
  Result<Fd> fd = create_file(dir_.fd(), "sparse");
  ASSERT_TRUE(truncate(fd->get(), 16 * mib));
  DataRange range = *next_data(fd->get(), 0, 16 * mib);
  EXPECT_EQ(range.start, 16 * mib);
  EXPECT_EQ(range.end, 16 * mib);
  ASSERT_TRUE(write_at(fd->get(), 4 * mib, pattern(mib)));
  ASSERT_TRUE(sync_fd(fd->get()));
  range = *next_data(fd->get(), 0, 16 * mib);
  EXPECT_EQ(range.start, 4 * mib);
  EXPECT_EQ(range.end, 5 * mib);
  range = *next_data(fd->get(), 4 * mib + 5, 16 * mib);
  EXPECT_EQ(range.start, 4 * mib + 5);
  range = *next_data(fd->get(), 0, 4 * mib + 100);
  EXPECT_EQ(range.end, 4 * mib + 100) << "no further than the size that the caller knows";
  EXPECT_EQ(next_data(fd->get(), 5 * mib, 16 * mib)->start, 16 * mib);
  EXPECT_EQ(next_data(fd->get(), 99 * mib, 16 * mib)->start, 16 * mib);
}

TEST_P(ContentTest, CopiesWholeAndUnalignedRanges) {
  const std::string bytes = pattern(300'001);
  const Fd from = make("from", bytes);
  const bool clones =
      std::string_view(GetParam()) == "xfs" || std::string_view(GetParam()) == "btrfs";
  const Fd whole = make("whole", "");
  const Result<CopyHow> how = copy_range(from.get(), 0, whole.get(), 0, bytes.size());
  ASSERT_TRUE(how) << how.error().message;
  EXPECT_EQ(*how, clones ? CopyHow::cloned : CopyHow::copied);
  EXPECT_EQ(dir_.read("whole"), bytes);
  const Fd part = make("part", std::string(10, 'p'));
  EXPECT_EQ(*copy_range(from.get(), 17, part.get(), 5, 100'000), CopyHow::copied);
  EXPECT_EQ(dir_.read("part"), "ppppp" + bytes.substr(17, 100'000));
  EXPECT_TRUE(copy_range(from.get(), 0, part.get(), 0, 0));
  EXPECT_EQ(dir_.read("part").size(), 100'005U) << "length 0 copies nothing, not everything";
}

TEST_P(ContentTest, CopiesKeepHoles) {
  constexpr uint64_t mib = 1 << 20;
  constexpr uint64_t size = 1ULL << 40;
  Result<Fd> from = create_file(dir_.fd(), "from");
  ASSERT_TRUE(truncate(from->get(), size));
  for (const uint64_t at : {uint64_t{0}, size / 2, size - mib})
    ASSERT_TRUE(write_at(from->get(), at, pattern(mib)));
  Result<Fd> to = create_file(dir_.fd(), "to");
  // Neither end is aligned: nothing can be cloned whole.
  ASSERT_TRUE(copy_range(from->get(), 5, to->get(), 5, size - mib - 5));
  EXPECT_EQ(stat_fd(to->get())->attr.size, size - mib) << "the last range is a hole";
  EXPECT_LE(stat_fd(to->get())->blocks * 512, 3 * mib);
  std::string got(mib, '\0');
  EXPECT_EQ(*read_at(to->get(), size / 2, got.data(), mib), mib);
  EXPECT_EQ(got, pattern(mib));
}

TEST_P(ContentTest, AHoleTakesThePlaceOfData) {
  constexpr uint64_t mib = 1 << 20;
  Result<Fd> from = create_file(dir_.fd(), "from");
  ASSERT_TRUE(truncate(from->get(), 2 * mib));
  const Fd to = make("to", pattern(4 * mib));
  ASSERT_TRUE(copy_range(from->get(), 1, to.get(), mib + 1, 2 * mib - 1));
  const std::string bytes = pattern(4 * mib);
  EXPECT_EQ(dir_.read("to"),
            bytes.substr(0, mib + 1) + std::string(2 * mib - 1, '\0') + bytes.substr(3 * mib));
  ASSERT_TRUE(sync_fd(to.get()));
  EXPECT_LE(stat_fd(to.get())->blocks * 512, 2 * mib + 128 * 1024);
  ASSERT_TRUE(make_hole(to.get(), 3 * mib + 1, 5 * mib));
  EXPECT_EQ(dir_.read("to").substr(3 * mib), bytes[3 * mib] + std::string(5 * mib, '\0'));
}

TEST_P(ContentTest, ClonesAWholeFileWhereTheFilesystemDoes) {
  const bool clones =
      std::string_view(GetParam()) == "xfs" || std::string_view(GetParam()) == "btrfs";
  const std::string bytes = pattern(300'001);
  const Fd from = make("from", bytes);
  const Fd to = make("to", "");
  const Result<bool> done = clone_file(from.get(), to.get());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(*done, clones);
  EXPECT_EQ(dir_.read("to"), clones ? bytes : "");
  EXPECT_FALSE(clone_file(-1, to.get()));
}

TEST_P(ContentTest, WhoElseHasAFileOpenIsTold) {
  make("file", "x");
  const Result<Fd> mine = open_write(dir_.fd(), "file");
  EXPECT_FALSE(is_open_elsewhere(mine->get()));
  {
    const Result<Fd> reader = open_read(dir_.fd(), "file");
    EXPECT_TRUE(is_open_elsewhere(mine->get()));
  }
  EXPECT_FALSE(is_open_elsewhere(mine->get()));
  {
    const Result<Fd> writer = open_write(dir_.fd(), "file");
    EXPECT_TRUE(is_open_elsewhere(mine->get()));
  }
  void* mapped = nullptr;
  {
    const Result<Fd> reader = open_read(dir_.fd(), "file");
    mapped = ::mmap(nullptr, 1, PROT_READ, MAP_SHARED, reader->get(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
  }
  EXPECT_TRUE(is_open_elsewhere(mine->get())) << "a mapping reads on after its descriptor went";
  ::munmap(mapped, 1);
  EXPECT_FALSE(is_open_elsewhere(mine->get()));
  EXPECT_TRUE(is_open_elsewhere(-1)) << "what cannot be told counts as open";
}

TEST_P(ContentTest, FreeSpaceShrinks) {
  ASSERT_TRUE(sync_filesystem(dir_.fd()));
  const Result<uint64_t> before = free_bytes(dir_.fd());
  ASSERT_TRUE(before) << before.error().message;
  const Fd file = make("file", pattern(64 << 20));
  // btrfs counts what it wrote when the transaction behind it ends, and may get back meanwhile what
  // files deleted before held: much is written, and a part of it must be seen.
  const uint64_t seen = *before - (16 << 20);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (*free_bytes(dir_.fd()) > seen && std::chrono::steady_clock::now() < until) {
    ASSERT_TRUE(sync_filesystem(dir_.fd()));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_LE(*free_bytes(dir_.fd()), seen);
  EXPECT_FALSE(free_bytes(-1));
}

TEST_P(ContentTest, ASourceThatIsTooShortIsSaid) {
  const Fd from = make("from", pattern(5000));
  const Fd to = make("to", "");
  EXPECT_EQ(copy_range(from.get(), 0, to.get(), 0, 8192).error().code, ErrorCode::changed);
  EXPECT_EQ(copy_range(from.get(), 9000, to.get(), 0, 1).error().code, ErrorCode::changed);
}

TEST_P(ContentTest, CopiesBetweenFilesystems) {
  const std::string bytes = pattern(700'003);
  const Fd from = make("from", bytes);
  const ScratchDir other(test::mounted(std::string_view(GetParam()) == "xfs" ? "ext4" : "xfs"));
  Result<Fd> to = create_file(other.fd(), "to");
  ASSERT_TRUE(copy_range(from.get(), 1, to->get(), 0, bytes.size() - 1));
  EXPECT_EQ(other.read("to"), bytes.substr(1));
}

TEST_P(ContentTest, Syncs) {
  const Fd fd = make("file", "x");
  EXPECT_TRUE(sync_fd(fd.get()));
  EXPECT_TRUE(sync_fd(dir_.fd()));
  EXPECT_TRUE(sync_filesystem(dir_.fd()));
  EXPECT_FALSE(sync_fd(-1));
  EXPECT_FALSE(sync_filesystem(-1));
}

TEST(Content, AFullDiskIsNoSpace) {
  test::enter_private_mounts();
  const ScratchDir dir;
  ASSERT_EQ(::mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=1m"), 0);
  const Result<Fd> root = open_root(dir.path());
  Result<Fd> fd = create_file(root->get(), "file");
  EXPECT_EQ(write_at(fd->get(), 0, pattern(2 << 20)).error().code, ErrorCode::no_space);
  fd->reset();
  EXPECT_EQ(::umount2(dir.path().c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace repl::io
