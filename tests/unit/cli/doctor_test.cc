#include "cli/doctor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace repl::cli {
namespace {

TEST(Doctor, LeavesARootAsItWas) {
  char dir[] = "/tmp/repl-doctor-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const timespec old[2] = {{.tv_sec = 1'000'000'000, .tv_nsec = 5},
                           {.tv_sec = 1'000'000'001, .tv_nsec = 7}};
  ASSERT_EQ(::utimensat(AT_FDCWD, dir, old, 0), 0);
  EXPECT_FALSE(examine_root("tree t", dir).empty());
  struct stat now{};
  ASSERT_EQ(::stat(dir, &now), 0);
  EXPECT_EQ(now.st_mtim.tv_sec, 1'000'000'001);
  EXPECT_EQ(now.st_mtim.tv_nsec, 7);
  EXPECT_TRUE(std::filesystem::is_empty(dir));
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace repl::cli
