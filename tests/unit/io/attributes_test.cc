#include <sys/stat.h>
#include <sys/xattr.h>

#include <ostream>

#include "engine/base/bytes.h"
#include "engine/base/escape.h"
#include "tests/unit/io/scratch.h"

namespace repl {
void PrintTo(const Attributes& attr, std::ostream* out) {
  *out << "type " << static_cast<int>(attr.type) << std::oct << " mode " << attr.mode << std::dec
       << " owner " << attr.uid << ":" << attr.gid << " mtime " << attr.mtime.seconds << "."
       << attr.mtime.nanoseconds << " size " << attr.size << " rdev " << attr.rdev << " xattrs "
       << escape(attr.xattrs);
}
}  // namespace repl

namespace repl::io {
namespace {

using test::ScratchDir;
using Xattrs = std::map<std::string, std::string>;

std::string canonical(const Xattrs& xattrs) {
  std::string out;
  ByteWriter writer(out);
  for (const auto& [name, value] : xattrs) {
    writer.string(name);
    writer.string(value);
  }
  return out;
}

Xattrs parsed(std::string_view text) {
  Xattrs out;
  ByteReader reader(text);
  while (reader.ok() && !reader.done()) {
    const std::string name(reader.string());
    out[name] = reader.string();
  }
  EXPECT_TRUE(reader.ok());
  return out;
}

// What the kernel stores for u::rwx,u:1234:rw-,g::r--,m::MASK,o::--- (acl(5),
// linux/posix_acl_xattr.h).
std::string acl(uint16_t mask, uint16_t other = 0) {
  std::string out;
  ByteWriter writer(out);
  writer.u32(2);
  const auto entry = [&](uint16_t tag, uint16_t permissions, uint32_t id) {
    writer.u16(tag);
    writer.u16(permissions);
    writer.u32(id);
  };
  entry(0x01, 7, ~0U);
  entry(0x02, 6, 1234);
  entry(0x04, 4, ~0U);
  entry(0x10, mask, ~0U);
  entry(0x20, other, ~0U);
  return out;
}
// cap_net_raw+ep, revision 2 (linux/capability.h).
const std::string capability(
    "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00",
    20);

class AttributesTest : public ::testing::TestWithParam<const char*> {
 protected:
  ScratchDir dir_{test::mounted(GetParam())};

  Attributes now(std::string_view name) {
    const Result<Stat> stat = stat_at(dir_.fd(), name);
    EXPECT_TRUE(stat);
    Attributes attr = stat->attr;
    const Result<std::string> xattrs = read_xattrs_at(dir_.fd(), name);
    EXPECT_TRUE(xattrs) << xattrs.error().message;
    attr.xattrs = *xattrs;
    return attr;
  }
  Status set(std::string_view name, const Attributes& want, AttributeSet which = {},
             const std::string* current = nullptr) {
    const Result<Fd> fd = open_path(dir_.fd(), name);
    return set_attributes(fd->get(), want, which, current);
  }
  // Sets and expects to find exactly that, through an O_PATH and (regular files, directories) a
  // full descriptor.
  void expect_set(std::string_view name, const Attributes& want) {
    const Status by_path = set(name, want);
    ASSERT_TRUE(by_path) << by_path.error().message;
    EXPECT_EQ(now(name), want);
    const Result<Fd> fd = want.type == FileType::regular     ? open_write(dir_.fd(), name)
                          : want.type == FileType::directory ? open_dir(dir_.fd(), name)
                                                             : open_path(dir_.fd(), name);
    ASSERT_TRUE(fd);
    const Status by_fd = set_attributes(fd->get(), want, {}, nullptr);
    ASSERT_TRUE(by_fd) << by_fd.error().message;
    EXPECT_EQ(now(name), want);
    const Result<std::string> xattrs = read_xattrs(fd->get());
    EXPECT_EQ(parsed(*xattrs), parsed(want.xattrs));
  }
};
INSTANTIATE_TEST_SUITE_P(Filesystems, AttributesTest,
                         ::testing::Values("tmpfs", "ext4", "xfs", "btrfs"));

TEST_P(AttributesTest, NoXattrsIsEmpty) {
  dir_.write("file", "");
  EXPECT_EQ(*read_xattrs_at(dir_.fd(), "file"), "");
  EXPECT_EQ(read_xattrs_at(dir_.fd(), "none").error().code, ErrorCode::not_found);
}

TEST_P(AttributesTest, EverythingOnARegularFile) {
  dir_.write("file", "x");
  Attributes want = now("file");
  want.uid = 1234;
  want.gid = 4321;
  want.mode = 06770;
  want.mtime = {.seconds = 123456, .nanoseconds = 123456789};
  want.xattrs = canonical({{"security.capability", capability},
                           {"system.posix_acl_access", acl(7)},
                           {"trusted.t", std::string("\0\xFF", 2)}});
  if (std::string_view(GetParam()) != "tmpfs") {  // user.* there since Linux 6.6 only
    Xattrs xattrs = parsed(want.xattrs);
    xattrs["user.empty"] = "";
    xattrs["user.big"] = std::string(300, 'v');
    want.xattrs = canonical(xattrs);
  }
  expect_set("file", want);
  want.xattrs = canonical({{"trusted.t", "other"}});
  want.mode = 0640;
  expect_set("file", want);
  want.xattrs = "";
  want.uid = 0;
  expect_set("file", want);
}

// chown clears security.capability, setuid and setgid: they are there afterwards, also when the
// caller believed that they need not be set.
TEST_P(AttributesTest, WhatChownTakesIsPutBack) {
  dir_.write("file", "x");
  Attributes want = now("file");
  want.mode = 04755;
  want.xattrs = canonical({{"security.capability", capability}, {"trusted.t", "1"}});
  ASSERT_TRUE(set("file", want));
  want.uid = 77;
  const std::string current = want.xattrs;
  ASSERT_TRUE(set("file", want, {}, &current));
  EXPECT_EQ(now("file"), want);
  want.uid = 78;
  ASSERT_TRUE(set("file", want, {.owner = true, .mode = false, .xattrs = false, .mtime = true}));
  EXPECT_EQ(now("file"), want);
}

TEST_P(AttributesTest, AnAclAndTheModeEndAsWanted) {
  dir_.write("file", "x");
  ASSERT_TRUE(make_dir(dir_.fd(), "dir", 0700));
  for (const char* name : {"file", "dir"}) {
    Attributes want = now(name);
    for (const auto& [mask, mode] :
         {std::pair<uint16_t, uint16_t>{7, 0770}, {0, 0700}, {4, 0740}}) {
      want.mode = mode;
      want.xattrs = canonical({{"system.posix_acl_access", acl(mask)}});
      expect_set(name, want);
    }
    want.mode = 0751;
    want.xattrs = "";
    expect_set(name, want);
    if (want.type == FileType::directory) {
      want.mode = 03775;
      want.xattrs = canonical({{"system.posix_acl_default", acl(5)}});
      expect_set(name, want);
    }
  }
}

// A new child of a directory with a default ACL has inherited what nobody asked for.
TEST_P(AttributesTest, InheritedAclsGo) {
  ASSERT_TRUE(make_dir(dir_.fd(), "dir", 0700));
  Attributes dir = now("dir");
  dir.xattrs = canonical({{"system.posix_acl_default", acl(7)}});
  ASSERT_TRUE(set("dir", dir));
  const Result<Fd> inside = open_dir(dir_.fd(), "dir");
  const Result<Fd> file = create_file(inside->get(), "file");
  ASSERT_NE(*read_xattrs(file->get()), "") << "the test needs something inherited";
  Attributes want;
  want.type = FileType::regular;
  want.mode = 0664;
  ASSERT_TRUE(set_attributes(file->get(), want, {}, nullptr));
  EXPECT_EQ(*read_xattrs(file->get()), "");
  EXPECT_EQ(stat_fd(file->get())->attr.mode, 0664);
}

TEST_P(AttributesTest, SymlinksAndWhatTheyPointAtAreApart) {
  dir_.write("file", "x");
  ASSERT_TRUE(make_symlink(dir_.fd(), "link", "file"));
  const Attributes file = now("file");
  Attributes want = now("link");
  want.uid = 55;
  want.gid = 66;
  want.mtime = {.seconds = 99, .nanoseconds = 7};
  want.xattrs = canonical({{"trusted.of_the_link", "v"}});
  expect_set("link", want);
  EXPECT_EQ(now("file"), file);
  const Result<Fd> link = open_path(dir_.fd(), "link");
  EXPECT_EQ(parsed(*read_xattrs(link->get())), parsed(want.xattrs));
  want.xattrs = "";
  expect_set("link", want);
  // One that points nowhere.
  ASSERT_TRUE(make_symlink(dir_.fd(), "dangling", "none"));
  want.xattrs = canonical({{"trusted.d", "v"}});
  expect_set("dangling", want);
}

TEST_P(AttributesTest, SpecialFiles) {
  const std::pair<const char*, FileType> kinds[] = {{"fifo", FileType::fifo},
                                                    {"socket", FileType::socket},
                                                    {"char", FileType::char_device},
                                                    {"block", FileType::block_device}};
  for (const auto& [name, type] : kinds) {
    ASSERT_TRUE(make_node(dir_.fd(), name, type, 0x103));
    Attributes want = now(name);
    want.uid = 5;
    want.mode = 02664;
    want.mtime = {.seconds = 4, .nanoseconds = 1};
    want.xattrs = canonical({{"trusted.n", "v"}});
    expect_set(name, want);
  }
}

TEST_P(AttributesTest, OnlyWhatIsAskedForChanges) {
  dir_.write("file", "x");
  Attributes before = now("file");
  Attributes want = before;
  want.uid = 9;
  want.mode = 0123;
  want.mtime = {.seconds = 1, .nanoseconds = 1};
  want.xattrs = canonical({{"trusted.x", "v"}});
  const AttributeSet nothing{.owner = false, .mode = false, .xattrs = false, .mtime = false};
  ASSERT_TRUE(set("file", want, nothing));
  EXPECT_EQ(now("file"), before);
  AttributeSet which = nothing;
  which.mode = true;
  ASSERT_TRUE(set("file", want, which));
  before.mode = want.mode;
  EXPECT_EQ(now("file"), before);
  which = nothing;
  which.mtime = true;
  ASSERT_TRUE(set("file", want, which));
  before.mtime = want.mtime;
  EXPECT_EQ(now("file"), before);
}

TEST_P(AttributesTest, TheAccessTimeStays) {
  dir_.write("file", "x");
  const struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 5}, {.tv_sec = 2000}};
  ASSERT_EQ(::utimensat(dir_.fd(), "file", times, 0), 0);
  Attributes want = now("file");
  want.mtime.seconds = 1;
  ASSERT_TRUE(set("file", want));
  struct stat st{};
  ASSERT_EQ(::fstatat(dir_.fd(), "file", &st, 0), 0);
  EXPECT_EQ(st.st_atim.tv_sec, 1000);
}

// Xattrs of a peer: sizes, names and order are checked before the first is set.
TEST_P(AttributesTest, MalformedXattrsChangeNothing) {
  dir_.write("file", "x");
  const Attributes before = now("file");
  Attributes want = before;
  std::string unsorted = canonical({{"trusted.b", "1"}}) + canonical({{"trusted.a", "1"}});
  std::string twice = canonical({{"trusted.a", "1"}}) + canonical({{"trusted.a", "1"}});
  for (const std::string& bad :
       {std::string("\x05"
                    "ab"),
        unsorted, twice, canonical({{"", "v"}}),
        canonical({{std::string("trusted.a\0b", 11), "v"}}),
        canonical({{"trusted." + std::string(300, 'n'), "v"}}),
        canonical({{"trusted.a", std::string(70000, 'v')}}), canonical({{"security.selinux", "v"}}),
        canonical({{"trusted.SGI_ACL_FILE", "v"}}), canonical({{"trusted.a", "v"}}) + "\xFF"}) {
    want.xattrs = bad;
    EXPECT_EQ(set("file", want).error().code, ErrorCode::invalid);
    EXPECT_EQ(now("file"), before);
  }
  want = before;
  want.mtime.nanoseconds = UTIME_NOW;
  EXPECT_EQ(set("file", want).error().code, ErrorCode::invalid);
}

TEST_P(AttributesTest, ManyAndLargeXattrs) {
  dir_.write("file", "x");
  Xattrs xattrs;
  // ext4 holds one block of them; the others more than the first buffer of a listing.
  const bool small = std::string_view(GetParam()) == "ext4";
  for (int i = 0; i < (small ? 40 : 300); ++i) xattrs["trusted.name_" + std::to_string(i)] = "v";
  if (!small) xattrs["trusted.large"] = std::string(12000, 'l');
  Attributes want = now("file");
  want.xattrs = canonical(xattrs);
  expect_set("file", want);
}

TEST(Attributes, FilesystemsWithoutXattrsHaveNone) {
  const Result<Fd> proc = open_root("/proc/self");
  EXPECT_EQ(*read_xattrs(proc->get()), "");
}

}  // namespace
}  // namespace repl::io
