#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

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
