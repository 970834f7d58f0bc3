#include "cli/runtime_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace repl::cli {
namespace {

TEST(RuntimeDir, OnlyADirectoryOfThisUserAloneIsTrusted) {
  char name[] = "/tmp/repl-runtime-XXXXXX";
  const std::string dir = ::mkdtemp(name);
  EXPECT_TRUE(check_private_dir(dir));
  ASSERT_EQ(::chmod(dir.c_str(), 0770), 0);
  EXPECT_EQ(check_private_dir(dir).error().code, ErrorCode::untrusted);
  ASSERT_EQ(::chmod(dir.c_str(), 0700), 0);
  std::filesystem::create_directory_symlink(dir, dir + "/link");
  EXPECT_EQ(check_private_dir(dir + "/link").error().code, ErrorCode::untrusted);
  EXPECT_EQ(check_private_dir(dir + "/none").error().code, ErrorCode::not_found);
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(dir.c_str(), 1234, 1234), 0);
    EXPECT_EQ(check_private_dir(dir).error().code, ErrorCode::untrusted);
  }
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace repl::cli
