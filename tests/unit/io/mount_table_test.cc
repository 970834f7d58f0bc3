#include "engine/io/mount_table.h"

#include <gtest/gtest.h>

namespace repl::io {
namespace {

TEST(MountTable, FindsTheMountById) {
  const MountTable table = parse_mounts(
      "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 ro\n"
      "nonsense\n"
      "122 22 0:50 /sub /mnt/with\\040blank\\134 ro,noatime shared:3 - btrfs /dev/sdb rw\n");
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(find_mount(table, 22)->root, "/");
  EXPECT_FALSE(find_mount(table, 22)->read_only) << "the filesystem is, the mount is not";
  EXPECT_EQ(find_mount(table, 122)->root, "/sub");
  EXPECT_EQ(find_mount(table, 122)->device, "0:50");
  EXPECT_EQ(find_mount(table, 122)->point, "/mnt/with blank\\");
  EXPECT_TRUE(find_mount(table, 122)->read_only);
  EXPECT_EQ(find_mount(table, 2), nullptr);
  EXPECT_EQ(find_mount({}, 2), nullptr);
  EXPECT_TRUE(parse_mounts("").empty());
}

TEST(MountTable, BelowIsByNamesNotByLetters) {
  std::string_view rest;
  EXPECT_TRUE(path_below("/srv/t/a", "/srv/t", rest));
  EXPECT_EQ(rest, "/a");
  EXPECT_TRUE(path_below("/srv/t", "/srv/t", rest));
  EXPECT_EQ(rest, "");
  EXPECT_TRUE(path_below("/srv/t", "/", rest));
  EXPECT_EQ(rest, "/srv/t");
  EXPECT_TRUE(path_below("/", "/", rest));
  EXPECT_EQ(rest, "");
  EXPECT_FALSE(path_below("/srv/t2", "/srv/t", rest));
  EXPECT_FALSE(path_below("/srv", "/srv/t", rest));
}

}  // namespace
}  // namespace repl::io
