// What each operation on files and directories raises, in numbered rows, over every way of watching
// and every filesystem that has it.
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "tests/unit/watch/test_tree.h"

namespace repl::watch {
namespace {

struct Where {
  const char* filesystem;
  Mode mode;
};

class Operations : public WatchTest, public ::testing::WithParamInterface<Where> {
 protected:
  void SetUp() override {
    open_tree(GetParam().filesystem, GetParam().mode);
    if (HasFatalFailure()) return;
    (void)drain();
  }
  [[nodiscard]] std::string filesystem() const { return GetParam().filesystem; }
};

TEST_P(Operations, Row01WriteThroughDeadNameOfLivingInode) {
  const Fd fd = create(at("f"));
  ASSERT_EQ(link(at("f").c_str(), at("g").c_str()), 0);
  ASSERT_EQ(unlink(at("f").c_str()), 0);
  (void)drain();
  ASSERT_EQ(write(fd.get(), "x", 1), 1);
  const Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, root_dir, "f") & hint_modified) << describe(seen);
  EXPECT_TRUE(bits_of_inode(seen, known(inode_of(at("g")))) & hint_modified) << describe(seen);
}

TEST_P(Operations, Row02TemporaryFileThatGetsAName) {
  const Fd fd(open(root.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
  ASSERT_TRUE(fd.valid());
  ASSERT_EQ(linkat(AT_FDCWD, fmt::format("/proc/self/fd/{}", fd.get()).c_str(), AT_FDCWD,
                   at("f").c_str(), AT_SYMLINK_FOLLOW),
            0);
  Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, root_dir, "f") & hint_created) << describe(seen);
  ASSERT_EQ(write(fd.get(), "x", 1), 1);
  seen = drain();
  EXPECT_TRUE(bits_of_inode(seen, known(inode_of(at("f")))) & hint_modified) << describe(seen);
}

TEST_P(Operations, Row04WriteThroughOneOfSeveralLinks) {
  put(at("f"));
  ASSERT_EQ(link(at("f").c_str(), at("g").c_str()), 0);
  (void)drain();
  put(at("g"), "yy");
  const Drained seen = drain();
  EXPECT_EQ(bits_at(seen, root_dir, "g"), hint_modified | hint_closed) << describe(seen);
  EXPECT_EQ(bits_at(seen, root_dir, "f"), 0u);
  EXPECT_TRUE(bits_of_inode(seen, known(inode_of(at("f")))) & hint_modified);
}

TEST_P(Operations, Row04WriteThroughALinkOutsideTheTree) {
  put(at("f"));
  ASSERT_EQ(link(at("f").c_str(), (outside + "/g").c_str()), 0);
  index.linked_inode = inode_of(at("f"));
  (void)drain();
  put(outside + "/g", "yy");
  const Drained seen = drain();
  if (filesystem_mark()) {
    EXPECT_TRUE(bits_of_inode(seen, inode_of(at("f"))) & hint_modified) << describe(seen);
  } else {
    EXPECT_TRUE(seen.hints.empty()) << describe(seen);
  }
}

TEST_P(Operations, Row05LinkAndUnlinkOfOneName) {
  put(at("f"));
  (void)drain();
  ASSERT_EQ(link(at("f").c_str(), at("g").c_str()), 0);
  Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, root_dir, "g") & hint_created) << describe(seen);
  if (filesystem_mark()) {
    EXPECT_TRUE(bits_at(seen, DirId{}, "") & hint_attributes) << describe(seen);
  }
  ASSERT_EQ(unlink(at("g").c_str()), 0);
  seen = drain();
  EXPECT_TRUE(bits_at(seen, root_dir, "g") & hint_removed) << describe(seen);
  if (filesystem_mark()) {
    EXPECT_TRUE(bits_at(seen, DirId{}, "") & hint_attributes) << describe(seen);
    EXPECT_TRUE(bits_of_inode(seen, inode_of(at("f"))) & hint_attributes) << describe(seen);
  }
}

TEST_P(Operations, Row06WriteAfterRenameNamesTheNewPlace) {
  const DirId d = make_dir(at("d"));
  const Fd fd = create(at("f"));
  ASSERT_EQ(rename(at("f").c_str(), at("d/g").c_str()), 0);
  (void)drain();
  ASSERT_EQ(write(fd.get(), "x", 1), 1);
  const Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, d, "g") & hint_modified) << describe(seen);
  EXPECT_EQ(bits_at(seen, root_dir, "f"), 0u);
}

TEST_P(Operations, Row07WriteToAnUnlinkedOpenFile) {
  Fd fd = create(at("f"));
  ASSERT_EQ(unlink(at("f").c_str()), 0);
  ASSERT_EQ(write(fd.get(), "x", 1), 1);
  fd.reset();
  const Drained seen = drain();  // read late: the handle is stale by now
  EXPECT_TRUE(bits_at(seen, root_dir, "f") & hint_removed) << describe(seen);
  EXPECT_TRUE(bits_at(seen, root_dir, "f") & hint_modified) << describe(seen);
  EXPECT_TRUE(seen.lost.empty());
}

TEST_P(Operations, Row08DirectoryKeepsItsIdThroughRename) {
  const DirId d = make_dir(at("d"));
  (void)drain();
  ASSERT_EQ(rename(at("d").c_str(), at("e").c_str()), 0);
  put(at("e/f"));
  Drained seen = drain();
  const uint32_t moved = hint_moved | hint_directory;
  EXPECT_EQ(bits_at(seen, root_dir, "d"), moved | hint_removed) << describe(seen);
  EXPECT_EQ(bits_at(seen, root_dir, "e"), moved | hint_created) << describe(seen);
  EXPECT_TRUE(bits_at(seen, d, "f") & hint_created) << describe(seen);
  watch(d, at("e"));  // idempotent
  put(at("e/g"));
  seen = drain();
  EXPECT_TRUE(bits_at(seen, d, "g") & hint_created) << describe(seen);
  EXPECT_EQ(seen.hints.size(), 1u) << describe(seen);
}

TEST_P(Operations, Row08TreeMovedInIsSeenOnceAdded) {
  std::filesystem::create_directories(outside + "/d/sub");
  put(outside + "/d/f");  // its handle is stored as foreign
  (void)drain();
  ASSERT_EQ(rename((outside + "/d").c_str(), at("d").c_str()), 0);
  put(at("d/before"));
  Drained seen = drain();
  EXPECT_EQ(bits_at(seen, root_dir, "d"), hint_moved | hint_created | hint_directory)
      << describe(seen);
  EXPECT_EQ(seen.hints.size(), 1u) << describe(seen);
  const DirId d{7}, sub{8};
  watch(d, at("d"));
  watch(sub, at("d/sub"));
  put(at("d/after"));
  put(at("d/sub/after"));
  seen = drain();
  EXPECT_TRUE(bits_at(seen, d, "after") & hint_created) << describe(seen);
  EXPECT_TRUE(bits_at(seen, sub, "after") & hint_created) << describe(seen);
}

TEST_P(Operations, Row09RemovedTreeReadLate) {
  const DirId a = make_dir(at("a"));
  const DirId b = make_dir(at("a/b"));
  put(at("a/b/f"));
  (void)drain();
  std::filesystem::remove_all(at("a"));
  const Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, b, "f") & hint_removed) << describe(seen);
  EXPECT_TRUE(bits_at(seen, a, "b") & hint_removed) << describe(seen);
  EXPECT_EQ(bits_at(seen, root_dir, "a"), hint_removed | hint_directory) << describe(seen);
  EXPECT_TRUE(seen.lost.empty());
  EXPECT_FALSE(seen.root_gone);
  watcher->remove(b);
  watcher->remove(a);
  EXPECT_TRUE(drain().hints.empty());
}

TEST_P(Operations, Row10NewDirectoryUnderAnOldName) {
  const DirId old_dir = make_dir(at("d"));
  (void)drain();
  ASSERT_EQ(rmdir(at("d").c_str()), 0);
  const DirId new_dir = make_dir(at("d"));
  put(at("d/f"));
  Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, new_dir, "f") & hint_created) << describe(seen);
  EXPECT_EQ(bits_at(seen, old_dir, "f"), 0u);
  watcher->remove(old_dir);
  put(at("d/g"));
  seen = drain();
  EXPECT_TRUE(bits_at(seen, new_dir, "g") & hint_created) << describe(seen);
}

TEST_P(Operations, Row10IdKeptByTheNewDirectory) {
  const DirId d = make_dir(at("d"));
  ASSERT_EQ(rmdir(at("d").c_str()), 0);
  ASSERT_EQ(mkdir(at("d").c_str(), 0755), 0);
  watch(d, at("d"));
  (void)drain();
  put(at("d/f"));
  const Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, d, "f") & hint_created) << describe(seen);
}

TEST_P(Operations, Row11NestedCreationIsHintedAtTheTop) {
  std::filesystem::create_directories(at("a/b"));
  put(at("a/b/f"));
  Drained seen = drain();
  EXPECT_EQ(bits_at(seen, root_dir, "a"), hint_created | hint_directory) << describe(seen);
  watch(DirId{7}, at("a"));
  watch(DirId{8}, at("a/b"));
  put(at("a/b/f"), "yy");
  seen = drain();
  EXPECT_TRUE(bits_at(seen, DirId{8}, "f") & hint_modified) << describe(seen);
}

TEST_P(Operations, Row12RenameAcrossTheBorder) {
  put(at("f"));
  put(outside + "/g");
  (void)drain();
  ASSERT_EQ(rename(at("f").c_str(), (outside + "/f").c_str()), 0);
  Drained seen = drain();
  EXPECT_EQ(bits_at(seen, root_dir, "f"), hint_moved | hint_removed) << describe(seen);
  EXPECT_EQ(seen.hints.size(), 1u) << describe(seen);
  ASSERT_EQ(rename((outside + "/g").c_str(), at("g").c_str()), 0);
  seen = drain();
  EXPECT_EQ(bits_at(seen, root_dir, "g"), hint_moved | hint_created) << describe(seen);
  EXPECT_TRUE(bits_of_inode(seen, known(inode_of(at("g")))) & hint_moved);
}

TEST_P(Operations, Row13Exchange) {
  const DirId d = make_dir(at("d"));
  put(at("f"));
  put(at("d/g"));
  (void)drain();
  ASSERT_EQ(renameat2(AT_FDCWD, at("f").c_str(), AT_FDCWD, at("d/g").c_str(), RENAME_EXCHANGE), 0);
  const Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, root_dir, "f") & hint_moved) << describe(seen);
  EXPECT_TRUE(bits_at(seen, d, "g") & hint_moved) << describe(seen);
}

TEST_P(Operations, Row14RenameOverALinkedVictim) {
  put(at("new"));
  put(at("victim"));
  ASSERT_EQ(link(at("victim").c_str(), at("other").c_str()), 0);
  (void)drain();
  ASSERT_EQ(rename(at("new").c_str(), at("victim").c_str()), 0);
  const Drained seen = drain();
  EXPECT_EQ(bits_at(seen, root_dir, "victim"), hint_moved | hint_created) << describe(seen);
  EXPECT_EQ(bits_at(seen, root_dir, "new"), hint_moved | hint_removed) << describe(seen);
  if (filesystem_mark()) {
    EXPECT_TRUE(bits_of_inode(seen, inode_of(at("other"))) & hint_attributes) << describe(seen);
  }
}

TEST_P(Operations, Row15Whiteout) {
  put(at("f"));
  (void)drain();
  if (filesystem() == "overlay") {  // it makes whiteouts itself, and takes none
    EXPECT_NE(renameat2(AT_FDCWD, at("f").c_str(), AT_FDCWD, at("g").c_str(), RENAME_WHITEOUT), 0);
    EXPECT_EQ(errno, EINVAL);
    const Drained nothing = drain();
    EXPECT_EQ(bits_at(nothing, root_dir, "g"), 0u) << describe(nothing);
    return;
  }
  ASSERT_EQ(renameat2(AT_FDCWD, at("f").c_str(), AT_FDCWD, at("g").c_str(), RENAME_WHITEOUT), 0);
  const Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, root_dir, "f") & hint_moved) << describe(seen);
  EXPECT_TRUE(bits_at(seen, root_dir, "g") & hint_moved) << describe(seen);
}

TEST_P(Operations, Row16TruncateIsNotClosed) {
  put(at("f"), "some text");
  (void)drain();
  ASSERT_EQ(truncate(at("f").c_str(), 1), 0);
  const Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, root_dir, "f") & hint_modified) << describe(seen);
  EXPECT_FALSE(bits_at(seen, root_dir, "f") & hint_closed);
}

TEST_P(Operations, Row17MappedStoreShowsAtUnmap) {
  put(at("f"), std::string(4096, 'a'));
  (void)drain();
  Fd fd = create(at("f"));
  auto* map =
      static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  fd.reset();
  map[0] = 'b';
  ASSERT_EQ(msync(map, 4096, MS_SYNC), 0);
  const uint32_t before = bits_at(drain(), root_dir, "f");
  ASSERT_EQ(munmap(map, 4096), 0);
  const uint32_t after = bits_at(drain(), root_dir, "f");
  // An overlay maps the file beneath: its own descriptor is closed at once.
  const bool overlay = filesystem() == "overlay";
  EXPECT_EQ(before, overlay ? hint_closed : 0u);
  EXPECT_EQ(after, overlay ? 0u : hint_closed);
}

TEST_P(Operations, Row18CopyingCallsModify) {
  put(at("from"), std::string(8192, 'a'));
  const Fd from(open(at("from").c_str(), O_RDONLY | O_CLOEXEC));
  Fd to = create(at("to"));
  const auto expect_modified = [&](const char* what) {
    const Drained seen = drain();
    EXPECT_TRUE(bits_at(seen, root_dir, "to") & hint_modified) << what << describe(seen);
  };
  (void)drain();
  ASSERT_EQ(copy_file_range(from.get(), nullptr, to.get(), nullptr, 4096, 0), 4096);
  expect_modified("copy_file_range");
  ASSERT_EQ(sendfile(to.get(), from.get(), nullptr, 100), 100);
  expect_modified("sendfile");
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const Fd reader(pipe_fds[0]), writer(pipe_fds[1]);
  ASSERT_EQ(write(writer.get(), "abc", 3), 3);
  ASSERT_EQ(splice(reader.get(), nullptr, to.get(), nullptr, 3, 0), 3);
  expect_modified("splice");
  ASSERT_EQ(fallocate(to.get(), 0, 0, 65536), 0);
  expect_modified("fallocate");
  if (fallocate(to.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0) {
    expect_modified("punch hole");
  }
  const bool clones = filesystem() == "xfs" || filesystem().starts_with("btrfs");
  if (clones) {
    ASSERT_EQ(ioctl(to.get(), FICLONE, from.get()), 0);
    expect_modified("FICLONE");
  }
  to = Fd(open(at("to").c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  if (!to.valid()) return;  // no O_DIRECT here
  (void)drain();
  alignas(4096) static char block[4096];
  ASSERT_EQ(pwrite(to.get(), block, sizeof block, 0), 4096);
  expect_modified("O_DIRECT");
}

TEST_P(Operations, Row19ReadingRaisesNothing) {
  put(at("f"));
  (void)drain();
  const Fd fd(open(at("f").c_str(), O_RDONLY | O_CLOEXEC));
  char byte;
  ASSERT_EQ(read(fd.get(), &byte, 1), 1);
  EXPECT_TRUE(std::filesystem::exists(at("f")));
  EXPECT_TRUE(drain().hints.empty());
}

TEST_P(Operations, Row20Attributes) {
  put(at("f"));
  ASSERT_EQ(symlink("nowhere", at("s").c_str()), 0);
  const DirId d = make_dir(at("d"));
  (void)drain();
  const auto expect_attributes = [&](const char* what, DirId dir, const char* name,
                                     uint32_t more = 0) {
    const Drained seen = drain();
    EXPECT_EQ(bits_at(seen, dir, name), hint_attributes | more) << what << describe(seen);
  };
  ASSERT_EQ(chmod(at("f").c_str(), 0600), 0);
  expect_attributes("chmod", root_dir, "f");
  ASSERT_EQ(chown(at("f").c_str(), 1, 1), 0);
  expect_attributes("chown", root_dir, "f");
  ASSERT_EQ(utimensat(AT_FDCWD, at("f").c_str(), nullptr, 0), 0);
  expect_attributes("utimens", root_dir, "f");
  if (setxattr(at("f").c_str(), "user.a", "b", 1, 0) == 0)
    expect_attributes("xattr", root_dir, "f");
  ASSERT_EQ(lchown(at("s").c_str(), 1, 1), 0);
  expect_attributes("lchown", root_dir, "s");
  ASSERT_EQ(chmod(at("d").c_str(), 0700), 0);
  expect_attributes("chmod of a directory", d, "", hint_self | hint_directory);
  ASSERT_EQ(chmod(root.c_str(), 0700), 0);
  expect_attributes("chmod of the root", root_dir, "", hint_self | hint_directory);
}

TEST_P(Operations, Row21ParentsTimeIsNotTold) {
  const DirId d = make_dir(at("d"));
  (void)drain();
  put(at("d/f"));
  const Drained seen = drain();
  EXPECT_EQ(bits_at(seen, d, ""), 0u) << describe(seen);
  EXPECT_EQ(bits_at(seen, root_dir, "d"), 0u) << describe(seen);
}

TEST_P(Operations, Row22WriteToAFifo) {
  ASSERT_EQ(mkfifo(at("p").c_str(), 0644), 0);
  (void)drain();
  {
    const Fd fd(open(at("p").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(write(fd.get(), "x", 1), 1);
  }
  const Drained seen = drain();
  EXPECT_NE(bits_at(seen, root_dir, "p"), 0u) << describe(seen);
}

TEST_P(Operations, Row23ThroughABindMount) {
  const std::string view = Sandbox::get().fresh_dir("bind");
  ASSERT_EQ(mount(root.c_str(), view.c_str(), nullptr, MS_BIND, nullptr), 0);
  put(view + "/f");
  const Drained seen = drain();
  umount2(view.c_str(), MNT_DETACH);
  EXPECT_TRUE(bits_at(seen, root_dir, "f") & hint_created) << describe(seen);
  EXPECT_FALSE(seen.root_gone);
}

TEST_P(Operations, Row24AMountInsideIsInvisible) {
  (void)make_dir(at("d"));
  (void)drain();
  ASSERT_EQ(mount("tmpfs", at("d").c_str(), "tmpfs", 0, nullptr), 0);
  put(at("d/f"));
  const Drained seen = drain();
  umount2(at("d").c_str(), MNT_DETACH);
  EXPECT_TRUE(seen.hints.empty()) << describe(seen);
  EXPECT_FALSE(seen.root_gone);
}

TEST_P(Operations, Row25ThroughAnOverlayWhoseUpperIsTheTree) {
  const std::string view = Sandbox::get().fresh_dir("over");
  run(fmt::format("mkdir {0}/lower {0}/work", outside));
  const std::string options =
      fmt::format("lowerdir={0}/lower,upperdir={1},workdir={0}/work", outside, root);
  const int mounted = mount("overlay", view.c_str(), "overlay", 0, options.c_str());
  if (filesystem() == "overlay") {
    // So there is nothing to be seen through.
    EXPECT_EQ(mounted, -1) << "an overlay was no upper";
    EXPECT_EQ(errno, EINVAL) << std::strerror(errno);
    return;
  }
  if (mounted != 0) {
    ASSERT_EQ(std::getenv("CI"), nullptr) << "CI can mount an overlay";
    GTEST_SKIP() << "no overlay here";
  }
  (void)drain();
  put(view + "/f");
  const Drained seen = drain();
  umount2(view.c_str(), MNT_DETACH);
  EXPECT_NE(bits_at(seen, root_dir, "f"), 0u) << describe(seen);
}

TEST_P(Operations, Row26IgnoredStagingIsNotSeen) {
  std::filesystem::create_directories(at("staging"));
  const Fd staging(open(at("staging").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  watcher->ignore(staging.get());
  (void)drain();
  put(at("staging/f"));
  Drained seen = drain();
  EXPECT_TRUE(seen.hints.empty()) << describe(seen);
  EXPECT_EQ(seen.foreign, 0u) << describe(seen);
  ASSERT_EQ(rename(at("staging/f").c_str(), at("f").c_str()), 0);
  seen = drain();
  // Both ends vanish with the mark; without one the tree's end is seen.
  EXPECT_EQ(bits_at(seen, root_dir, "f") != 0, !filesystem_mark()) << describe(seen);
  put(at("f"), "yy");
  EXPECT_TRUE(bits_at(drain(), root_dir, "f") & hint_modified);
}

TEST_P(Operations, Row27ManyAppendsAreOneHint) {
  const Fd fd = create(at("f"));
  (void)drain();
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(write(fd.get(), "x", 1), 1);
  const Drained seen = drain();
  EXPECT_EQ(seen.hints.size(), 1u) << describe(seen);
  EXPECT_EQ(bits_at(seen, root_dir, "f"), hint_modified);
}

TEST_P(Operations, RemovedDirectoryIsNotReported) {
  const DirId d = make_dir(at("d"));
  put(at("d/f"));
  ASSERT_EQ(rename(at("d").c_str(), (outside + "/d").c_str()), 0);
  watcher->remove(d);
  (void)drain();
  put(outside + "/d/f", "yy");
  const Drained seen = drain();
  EXPECT_TRUE(seen.hints.empty()) << describe(seen);
  EXPECT_TRUE(filesystem_mark() || seen.events == 0) << "the mark was left behind";
  watch(d, outside + "/d");
  put(outside + "/d/f", "zzz");
  EXPECT_TRUE(bits_at(drain(), d, "f") & hint_modified);
}

TEST_P(Operations, RemovedRootIsGoneThoughHeldOpen) {
  ASSERT_EQ(rmdir(root.c_str()), 0);
  EXPECT_TRUE(drain().root_gone);
}

TEST_P(Operations, MovedRootIsGone) {
  ASSERT_EQ(rename(root.c_str(), (outside + "/tree").c_str()), 0);
  const Drained seen = drain();
  EXPECT_TRUE(seen.root_gone) << describe(seen);
}

TEST_P(Operations, NamesOfAnyBytes) {
  const std::string name = "a\nb\x1b\xff " + std::string(245, 'n');
  put(at(name));
  put(at(".hidden"));
  const Drained seen = drain();
  EXPECT_TRUE(bits_at(seen, root_dir, name) & hint_created) << describe(seen);
  EXPECT_TRUE(bits_at(seen, root_dir, ".hidden") & hint_created);
}

std::vector<Where> everywhere() {
  std::vector<Where> all;
  for (const char* filesystem : {"tmpfs", "ext4", "xfs", "btrfs"}) {
    for (const Mode mode : {Mode::fanotify_filesystem, Mode::fanotify_directories, Mode::inotify}) {
      all.push_back({filesystem, mode});
    }
  }
  all.push_back({"btrfs_subvolume", Mode::fanotify_directories});
  all.push_back({"btrfs_subvolume", Mode::inotify});
  all.push_back({"overlay", Mode::inotify});
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, Operations, ::testing::ValuesIn(everywhere()), [](const auto& where) {
  std::string name =
      std::string(where.param.filesystem) + "_" + std::string(to_string(where.param.mode));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace repl::watch
