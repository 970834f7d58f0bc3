// test_tree.h: real filesystems to watch, in a mount namespace of the test's own, and a tree in one
// of them with the ids that an index would give. Needs root.
#pragma once

#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "engine/base/fd.h"
#include "engine/io/fs_ops.h"
#include "engine/watch/watcher.h"

namespace repl::watch {

inline constexpr size_t drain_all = 64 << 20;

inline void run(const std::string& command) {
  ASSERT_EQ(std::system(("{ " + command + "; } >/dev/null 2>&1").c_str()), 0) << command;
}

// Everything that this process mounts goes with its namespace, however it ends.
class Sandbox {
 public:
  static Sandbox& get() {
    static Sandbox sandbox;
    return sandbox;
  }
  // A filesystem of the kind, mounted once per process. Kinds: tmpfs ext4 xfs btrfs btrfs_subvolume
  // overlay.
  std::string filesystem(const std::string& kind) {
    auto [entry, fresh] = mounted_.try_emplace(kind, dir_ + "/" + kind);
    if (fresh) mount_kind(kind, entry->second);
    return entry->second;
  }
  std::string fresh_dir(const std::string& label) {
    const std::string path = fmt::format("{}/{}{}", dir_, label, ++count_);
    std::filesystem::create_directories(path);
    return path;
  }
  std::string image(const std::string& kind, const std::string& size) {
    const std::string path = fmt::format("{}/{}{}.img", dir_, kind, ++count_);
    run(fmt::format("truncate -s {} {} && mkfs.{} -q {}", size, path, kind, path));
    return path;
  }
  int next() { return ++count_; }

 private:
  Sandbox() {
    char name[] = "/tmp/repl-watch-XXXXXX";
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mkdtemp(name) == nullptr) {
      fmt::print(stderr, "these tests need root\n");
      std::abort();
    }
    dir_ = name;
  }
  ~Sandbox() {
    for (const auto& [kind, path] : mounted_) umount2(path.c_str(), MNT_DETACH);
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }
  void mount_kind(const std::string& kind, const std::string& at) {
    std::filesystem::create_directories(at);
    if (kind == "tmpfs") {
      ASSERT_EQ(mount("tmpfs", at.c_str(), "tmpfs", 0, "size=512m"), 0);
    } else if (kind == "btrfs_subvolume") {
      std::filesystem::remove(at);
      const std::string top = filesystem("btrfs");
      run(fmt::format("btrfs subvolume create {0}/sub && ln -s {0}/sub {1}", top, at));
    } else if (kind == "overlay") {
      const std::string base = filesystem("tmpfs") + "/overlay";
      run(fmt::format("mkdir -p {0}/lower {0}/upper {0}/work", base));
      const std::string options =
          fmt::format("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", base);
      ASSERT_EQ(mount("overlay", at.c_str(), "overlay", 0, options.c_str()), 0);
    } else {
      const std::string size = kind == "xfs" ? "400M" : kind == "btrfs" ? "256M" : "128M";
      run(fmt::format("mount -o loop {} {}", image(kind, size), at));
    }
  }
  std::string dir_;
  std::map<std::string, std::string> mounted_;
  std::atomic<int> count_ = 0;
};

class FakeIndex final : public HandleResolver {
 public:
  [[nodiscard]] std::optional<DirId> dir_of(std::string_view handle) const override {
    ++asked;
    const auto found = dirs.find(std::string(handle));
    return found == dirs.end() ? std::nullopt : std::optional(found->second);
  }
  [[nodiscard]] bool linked(uint64_t inode) const override { return inode == linked_inode; }
  std::unordered_map<std::string, DirId> dirs;
  uint64_t linked_inode = 0;
  mutable size_t asked = 0;
};

inline uint64_t inode_of(const std::string& path) {
  struct stat status{};
  EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
  return status.st_ino;
}

inline Fd create(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  EXPECT_TRUE(fd.valid()) << path;
  return fd;
}

inline void put(const std::string& path, std::string_view text = "x") {
  const Fd fd = create(path);
  EXPECT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

inline uint32_t bits_at(const Drained& drained, DirId dir, std::string_view name) {
  uint32_t bits = 0;
  for (const Hint& hint : drained.hints) {
    if (hint.dir == dir && hint.name == name) bits |= hint.bits;
  }
  return bits;
}

inline uint32_t bits_of_inode(const Drained& drained, uint64_t inode) {
  uint32_t bits = 0;
  for (const Hint& hint : drained.hints) {
    if (hint.inode == inode) bits |= hint.bits;
  }
  return bits;
}

inline std::string describe(const Drained& drained) {
  std::string text = fmt::format("events {} foreign {} root_gone {}\n", drained.events,
                                 drained.foreign, drained.root_gone);
  for (const Hint& h : drained.hints) {
    text += fmt::format("  bits {:#x} dir {} name '{}' inode {}\n", h.bits, h.dir.value, h.name,
                        h.inode);
  }
  for (const Lost& l : drained.lost) text += "  lost: " + l.reason + "\n";
  return text;
}

class WatchTest : public ::testing::Test {
 protected:
  // A new directory in the filesystem is the tree; `outside` is its sibling.
  void open_tree(const std::string& filesystem, std::optional<Mode> mode, bool bounded = false) {
    const std::string base =
        fmt::format("{}/t{}", Sandbox::get().filesystem(filesystem), Sandbox::get().next());
    std::filesystem::create_directories(base + "/tree");
    std::filesystem::create_directories(base + "/out");
    root = base + "/tree";
    outside = base + "/out";
    watch_at(root, mode, bounded);
  }
  void watch_at(const std::string& path, std::optional<Mode> mode, bool bounded = false) {
    root = path;
    root_fd = Fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(root_fd.valid());
    NullLog log;
    auto opened = open_watcher(root_fd.get(), index, {.mode = mode, .bounded = bounded}, log);
    ASSERT_TRUE(opened) << opened.error().message;
    watcher = std::move(opened->watcher);
    explanation = opened->explanation;
    watch(root_dir, root);
  }
  void watch(DirId id, const std::string& path) {
    const Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(fd.valid()) << path;
    const auto handle = io::handle_of(fd.get());
    const Status added = watcher->add(id, fd.get(), handle ? *handle : std::string());
    ASSERT_TRUE(added) << added.error().message;
  }
  DirId make_dir(const std::string& path) {
    EXPECT_EQ(mkdir(path.c_str(), 0755), 0) << path;
    const DirId id{next_id++};
    watch(id, path);
    return id;
  }
  Drained drain() {
    auto drained = watcher->drain(drain_all);
    EXPECT_TRUE(drained) << drained.error().message;
    return drained ? std::move(*drained) : Drained{};
  }
  [[nodiscard]] std::string at(const std::string& name) const { return root + "/" + name; }
  [[nodiscard]] bool filesystem_mark() const {
    return watcher->mode() == Mode::fanotify_filesystem;
  }
  [[nodiscard]] bool is_inotify() const { return watcher->mode() == Mode::inotify; }
  // What a hint's inode is where the kernel says it.
  [[nodiscard]] uint64_t known(uint64_t inode) const { return is_inotify() ? 0 : inode; }

  FakeIndex index;
  std::string root, outside, explanation;
  Fd root_fd;
  std::unique_ptr<Watcher> watcher;
  uint64_t next_id = 100;
};

}  // namespace repl::watch
