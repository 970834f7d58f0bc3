#include "cli/doctor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "transport/identity.h"

namespace repl::cli {
namespace {

TEST(Doctor, LeavesARootAsItWas) {
  char dir[] = "/tmp/repl-doctor-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const timespec old[2] = {{.tv_sec = 1'000'000'000, .tv_nsec = 5},
                           {.tv_sec = 1'000'000'001, .tv_nsec = 7}};
  ASSERT_EQ(::utimensat(AT_FDCWD, dir, old, 0), 0);
  EXPECT_FALSE(examine_root("tree t", dir, false).empty());
  struct stat now{};
  ASSERT_EQ(::stat(dir, &now), 0);
  EXPECT_EQ(now.st_mtim.tv_sec, 1'000'000'001);
  EXPECT_EQ(now.st_mtim.tv_nsec, 7);
  EXPECT_TRUE(std::filesystem::is_empty(dir));
  std::filesystem::remove_all(dir);
}

TEST(Doctor, LooksAtTheKeyAsTheDaemonDoes) {
  char name[] = "/tmp/repl-doctor-XXXXXX";
  const std::string dir = ::mkdtemp(name);
  const std::string key = dir + "/identity.key";
  const std::string certificate = dir + "/identity.crt";
  EXPECT_EQ(examine_identity(key, certificate, {}).health, Health::fail);
  const auto made = transport::generate_identity("n");
  ASSERT_TRUE(made);
  ASSERT_TRUE(transport::store_identity(*made, key, certificate));
  EXPECT_EQ(examine_identity(key, certificate, {made->fingerprint}).health, Health::ok);
  EXPECT_EQ(examine_identity(key, certificate, {"sha256:other"}).health, Health::fail);
  ASSERT_EQ(::chmod(key.c_str(), 0644), 0);
  EXPECT_EQ(examine_identity(key, certificate, {made->fingerprint}).health, Health::fail);
  EXPECT_EQ(examine_state_dir(dir).health, Health::ok);
  EXPECT_EQ(examine_state_dir(dir + "/none").health, Health::ok);
  EXPECT_EQ(examine_state_dir(key + "/below").health, Health::fail);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace repl::cli
