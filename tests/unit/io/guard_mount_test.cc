// On real filesystems, in a mount namespace of the test. Writers are children: of this process
// find_mount_holders() tells nothing.
#include "engine/io/guard_mount.h"

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <memory>
#include <optional>

#include "engine/io/mount_holders.h"
#include "engine/io/mount_table.h"
#include "tests/unit/io/child.h"
#include "tests/unit/io/scratch.h"

namespace repl::io {
namespace {

using test::Child;
using test::open_to_write;
using test::ScratchDir;
using test::try_write;

const Holder* of(const HolderList& list, pid_t pid) {
  for (const Holder& holder : list.named) {
    if (holder.pid == pid) return &holder;
  }
  return nullptr;
}

class GuardMountOn : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    dir_ = std::make_unique<ScratchDir>(test::mounted(GetParam()));
    ASSERT_TRUE(make_dir(dir_->fd(), "tree", 0755));
    root_ = dir_->path("tree");
    Result<GuardMount> guard = GuardMount::open(root_);
    ASSERT_TRUE(guard) << guard.error().message;
    guard_ = std::move(*guard);
  }
  void TearDown() override {
    guard_.reset();
    ::umount2(root_.c_str(), MNT_DETACH);
  }
  [[nodiscard]] std::string path(const std::string& name) const { return root_ + "/" + name; }

  std::unique_ptr<ScratchDir> dir_;
  std::string root_;
  std::optional<GuardMount> guard_;
};

TEST_P(GuardMountOn, ReadOnlyForAllButRepl) {
  EXPECT_EQ(try_write(path("file")), 0);
  EXPECT_FALSE(*guard_->is_read_only());
  ASSERT_TRUE(guard_->set_read_only(true));
  EXPECT_TRUE(*guard_->is_read_only());
  EXPECT_EQ(try_write(path("file")), EROFS);
  EXPECT_EQ(try_write(path("new")), EROFS);

  const int work = guard_->beneath().root();
  Result<Fd> made = create_file(work, "made");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(write_at(made->get(), 0, "beneath"));
  EXPECT_TRUE(make_dir(work, "dir", 0755));
  const Result<Fd> inner = open_dir(work, "dir");
  ASSERT_TRUE(inner);
  EXPECT_TRUE(link_at(work, "made", inner->get(), "link"));
  EXPECT_TRUE(rename_exchange(work, "file", work, "made"));
  EXPECT_TRUE(rename_noreplace(work, "file", inner->get(), "moved"));
  EXPECT_TRUE(sync_filesystem(work));
  std::ifstream in(path("dir/moved"));
  std::string content;
  std::getline(in, content);
  EXPECT_EQ(content, "beneath");
  EXPECT_EQ(stat_fd(work)->local.inode, stat_fd(guard_->seen())->local.inode);
  EXPECT_EQ(*handle_of(work), *handle_of(guard_->seen()));

  ASSERT_TRUE(guard_->set_read_only(false));
  EXPECT_EQ(try_write(path("new")), 0);
}

TEST_P(GuardMountOn, IsFoundAgain) {
  ASSERT_TRUE(guard_->set_read_only(true));
  const uint64_t id = guard_->id();
  const size_t mounts = read_mounts("/proc/self")->size();
  guard_.reset();
  EXPECT_EQ(try_write(path("file")), EROFS);
  Result<GuardMount> again = GuardMount::open(root_);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->id(), id);
  EXPECT_EQ(read_mounts("/proc/self")->size(), mounts);
  EXPECT_TRUE(*again->is_read_only());
  EXPECT_TRUE(create_file(again->beneath().root(), "made"));
}

TEST_P(GuardMountOn, AWriterKeepsItOpenAndIsNamed) {
  for (const bool mapped : {false, true}) {
    const Child writer([&] {
      const int fd = open_to_write(path("file"));
      if (fd < 0 || ::ftruncate(fd, 4096) != 0) return false;
      if (!mapped) return true;
      const void* at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      ::close(fd);
      return at != MAP_FAILED;
    });
    ASSERT_TRUE(writer.began());
    const Status closed = guard_->set_read_only(true);
    ASSERT_FALSE(closed);
    EXPECT_EQ(closed.error().sys_errno, EBUSY);
    EXPECT_FALSE(*guard_->is_read_only());
    const Result<MountHolders> found = find_mount_holders(guard_->id());
    ASSERT_TRUE(found) << found.error().message;
    const Holder* named = of(found->writers, writer.pid());
    ASSERT_NE(named, nullptr) << mapped << " " << describe(found->writers);
    EXPECT_EQ(named->path, path("file"));
    EXPECT_FALSE(named->program.empty());
    EXPECT_EQ(of(found->outside, writer.pid()), nullptr);
  }
  EXPECT_TRUE(guard_->set_read_only(true)) << "nobody is left";
}

TEST_P(GuardMountOn, ReadersAreNotInTheWay) {
  ASSERT_EQ(try_write(path("file")), 0);
  const Child reader(
      [&] { return ::open(path("file").c_str(), O_RDONLY) >= 0 && ::chdir(root_.c_str()) == 0; });
  ASSERT_TRUE(reader.began());
  EXPECT_TRUE(guard_->set_read_only(true));
  const Result<MountHolders> found = find_mount_holders(guard_->id());
  ASSERT_TRUE(found);
  EXPECT_EQ(of(found->writers, reader.pid()), nullptr);
  EXPECT_EQ(of(found->outside, reader.pid()), nullptr);
}

TEST_P(GuardMountOn, WhoIsOlderThanTheMountIsOutside) {
  guard_.reset();
  ASSERT_EQ(::umount2(root_.c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(make_dir(dir_->fd(), "tree2", 0755));
  const Child file([&] { return open_to_write(path("file")) >= 0; });
  const Child directory([&] { return ::chdir(root_.c_str()) == 0; });
  const Child reader([&] { return ::open(path("file").c_str(), O_RDONLY) >= 0; });
  const Child neighbour([&] { return open_to_write(dir_->path("tree2/file")) >= 0; });
  ASSERT_TRUE(file.began() && directory.began() && reader.began() && neighbour.began());
  Result<GuardMount> guard = GuardMount::open(root_);
  ASSERT_TRUE(guard);
  guard_ = std::move(*guard);
  ASSERT_TRUE(guard_->set_read_only(true)) << "it knows nothing of them";
  const Result<MountHolders> found = find_mount_holders(guard_->id());
  ASSERT_TRUE(found);
  ASSERT_NE(of(found->outside, file.pid()), nullptr);
  EXPECT_EQ(of(found->outside, file.pid())->path, path("file"));
  ASSERT_NE(of(found->outside, directory.pid()), nullptr);
  EXPECT_EQ(of(found->outside, directory.pid())->path, root_);
  EXPECT_EQ(of(found->outside, reader.pid()), nullptr);
  EXPECT_EQ(of(found->outside, neighbour.pid()), nullptr);
  EXPECT_EQ(found->outside.count, 2u) << describe(found->outside);
}

TEST_P(GuardMountOn, AnotherNamespaceIsElsewhere) {
  const Child other([&] { return ::unshare(CLONE_NEWNS) == 0; });
  ASSERT_TRUE(other.began());
  ASSERT_TRUE(guard_->set_read_only(true));
  const Child late([&] { return ::unshare(CLONE_NEWNS) == 0; });
  ASSERT_TRUE(late.began());
  const Result<MountHolders> found = find_mount_holders(guard_->id());
  ASSERT_TRUE(found);
  ASSERT_NE(of(found->elsewhere, other.pid()), nullptr) << describe(found->elsewhere);
  EXPECT_EQ(of(found->elsewhere, other.pid())->path, root_);
  EXPECT_EQ(of(found->elsewhere, late.pid()), nullptr) << "its copy is read-only";

  const Child writer([&] {
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount("", root_.c_str(), nullptr, MS_REMOUNT | MS_BIND, nullptr) == 0 &&
           open_to_write(path("file")) >= 0;
  });
  ASSERT_TRUE(writer.began());
  const Result<MountHolders> now = find_mount_holders(guard_->id());
  ASSERT_TRUE(now);
  ASSERT_NE(of(now->outside, writer.pid()), nullptr) << describe(now->outside);
  EXPECT_EQ(of(now->outside, writer.pid())->path, path("file"));
}

TEST_P(GuardMountOn, AnotherMountOfItIsElsewhere) {
  ASSERT_TRUE(make_dir(dir_->fd(), "second", 0755));
  test::bind_mount(dir_->path(), dir_->path("second"));
  // Our own namespace is known by somebody else in it.
  const Child somebody([] { return true; });
  const Result<MountHolders> now = find_mount_holders(guard_->id());
  ASSERT_EQ(::umount2(dir_->path("second").c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(now);
  ASSERT_EQ(now->elsewhere.count, 1u) << describe(now->elsewhere);
  EXPECT_EQ(now->elsewhere.named[0].path, dir_->path("second/tree"));
}

TEST_P(GuardMountOn, WhatIsMountedInsideIsNotTouched) {
  guard_.reset();
  ASSERT_EQ(::umount2(root_.c_str(), MNT_DETACH), 0);
  ASSERT_EQ(::mkdir(path("inner").c_str(), 0755), 0);
  ASSERT_EQ(try_write(path("inner/covered")), 0);
  ASSERT_EQ(::mount("tmpfs", path("inner").c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_EQ(try_write(path("inner/visible")), 0);
  Result<GuardMount> guard = GuardMount::open(root_);
  ASSERT_TRUE(guard) << guard.error().message;
  guard_ = std::move(*guard);
  ASSERT_TRUE(guard_->set_read_only(true));
  EXPECT_EQ(::access(path("inner/visible").c_str(), F_OK), 0);
  EXPECT_EQ(try_write(path("inner/visible")), 0);
  const Result<Fd> beneath = open_dir(guard_->beneath().root(), "inner");
  ASSERT_TRUE(beneath) << beneath.error().message;
  EXPECT_TRUE(stat_at(beneath->get(), "covered"));
  ASSERT_EQ(::umount2(path("inner").c_str(), MNT_DETACH), 0);
}

INSTANTIATE_TEST_SUITE_P(Filesystems, GuardMountOn,
                         testing::Values("ext4", "xfs", "btrfs", "tmpfs"),
                         [](const auto& info) { return info.param; });

TEST(GuardMount, ARootThatIsAMountIsTakenAsItIs) {
  const std::string& root = test::mounted("ext4");
  const size_t mounts = read_mounts("/proc/self")->size();
  Result<GuardMount> guard = GuardMount::open(root);
  ASSERT_TRUE(guard) << guard.error().message;
  EXPECT_EQ(read_mounts("/proc/self")->size(), mounts);
  ASSERT_TRUE(guard->set_read_only(true));
  EXPECT_EQ(try_write(root + "/file"), EROFS);
  EXPECT_TRUE(create_file(guard->beneath().root(), "beneath"));
  EXPECT_TRUE(unlink_at(guard->beneath().root(), "beneath"));
  ASSERT_TRUE(guard->set_read_only(false));
  const Child writer([&] { return open_to_write(root + "/file") >= 0; });
  ASSERT_TRUE(writer.began());
  EXPECT_EQ(guard->set_read_only(true).error().sys_errno, EBUSY) << "however old it is";
}

TEST(GuardMount, AMountMadeLaterDoesNotAppearBeneath) {
  const ScratchDir dir(test::mounted("tmpfs"));
  test::bind_mount(dir.path(), dir.path());
  ASSERT_EQ(::mount(nullptr, dir.path().c_str(), nullptr, MS_SHARED, nullptr), 0);
  ASSERT_TRUE(make_dir(dir.fd(), "inner", 0755));
  {
    const Result<GuardMount> guard = GuardMount::open(dir.path());
    ASSERT_TRUE(guard) << guard.error().message;
    ASSERT_EQ(::mount("tmpfs", dir.path("inner").c_str(), "tmpfs", 0, nullptr), 0);
    const Result<Fd> beneath = open_dir(guard->beneath().root(), "inner");
    EXPECT_TRUE(beneath) << beneath.error().message;
    ASSERT_EQ(::umount2(dir.path("inner").c_str(), MNT_DETACH), 0);
  }
  ASSERT_EQ(::umount2(dir.path().c_str(), MNT_DETACH), 0);
}

TEST(GuardMount, AMissingRootIsNotFound) {
  EXPECT_EQ(GuardMount::open("/nonexistent/root").error().code, ErrorCode::not_found);
}

TEST(GuardMount, WithoutTheRightItIsRefusedWithWhatIsMissing) {
  EXPECT_EQ(guard_refusal(), "");
  const ScratchDir dir;
  const Child unprivileged([&] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2] = {};
    if (::syscall(SYS_capset, &header, none) != 0) return false;
    const Result<GuardMount> guard = GuardMount::open(dir.path());
    return !guard && guard.error().code == ErrorCode::not_permitted &&
           guard.error().message.find("CAP_SYS_ADMIN") != std::string::npos &&
           guard_refusal().find("CAP_SYS_ADMIN") != std::string::npos;
  });
  EXPECT_TRUE(unprivileged.began());
}

TEST(MountHolders, SayWhoAndHowManyMore) {
  HolderList list{.named = {{.pid = 7, .program = "a b", .path = "/srv/t/\x01"}}, .count = 3};
  EXPECT_EQ(describe(list), "pid 7 (a b) has /srv/t/\\x01, and 2 more");
  EXPECT_EQ(describe({}), "");
}

}  // namespace
}  // namespace repl::io
