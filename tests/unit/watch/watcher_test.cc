// What holds for a watcher as a whole: choice, limits, loss, foreign events, resources, threads.
#include <grp.h>
#include <poll.h>
#include <sys/wait.h>

#include <fstream>
#include <functional>
#include <thread>

#include "engine/watch/fanotify_watcher.h"
#include "tests/unit/watch/test_tree.h"

namespace repl::watch {
namespace {

constexpr Mode all_modes[] = {Mode::fanotify_filesystem, Mode::fanotify_directories, Mode::inotify};

size_t open_fds() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

size_t resident_kib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    size_t kib = 0;
    if (word == "VmRSS:" && status >> kib) return kib;
  }
  return 0;
}

// Runs in a child process; its failures are the test's.
void in_child(const std::function<void()>& body) {
  fflush(nullptr);  // or the child prints it again
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    body();
    fflush(nullptr);
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

void write_text(const char* path, const std::string& text) {
  const Fd fd(open(path, O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(fd.valid()) << path;
  ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size())) << path;
}

class Watching : public WatchTest {
 protected:
  void become_nobody() {
    ASSERT_EQ(setgroups(0, nullptr), 0);
    ASSERT_EQ(setresgid(65534, 65534, 65534), 0);
    ASSERT_EQ(setresuid(65534, 65534, 65534), 0);
  }
  [[nodiscard]] bool wakes() const {
    pollfd entry{.fd = watcher->event_fd(), .events = POLLIN, .revents = 0};
    return poll(&entry, 1, 0) == 1;
  }
};

class EveryMode : public Watching, public ::testing::WithParamInterface<Mode> {};

TEST_P(EveryMode, WakesForEventsOnly) {
  open_tree("tmpfs", GetParam());
  EXPECT_FALSE(wakes());
  EXPECT_EQ(drain().events, 0u);  // and does not block
  put(at("f"));
  EXPECT_TRUE(wakes());
  (void)drain();
  EXPECT_FALSE(wakes());
}

TEST_P(EveryMode, LazyUnmountOfTheRootIsSeen) {
  const std::string path = Sandbox::get().fresh_dir("lazy");
  ASSERT_EQ(mount("tmpfs", path.c_str(), "tmpfs", 0, nullptr), 0);
  watch_at(path, GetParam());
  EXPECT_FALSE(drain().root_gone);
  const std::string other = Sandbox::get().fresh_dir("other");
  ASSERT_EQ(mount("tmpfs", other.c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_EQ(umount2(other.c_str(), MNT_DETACH), 0);
  EXPECT_FALSE(drain().root_gone) << "another mount is no concern of ours";
  ASSERT_EQ(umount2(path.c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(wakes());
  EXPECT_TRUE(drain().root_gone);
}

TEST_P(EveryMode, OverflowIsALossAndNothingElse) {
  open_tree("tmpfs", GetParam(), true);
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_EQ(mknod(at("f" + std::to_string(i)).c_str(), S_IFREG | 0644, 0), 0);
  }
  Drained seen = drain();
  ASSERT_EQ(seen.lost.size(), 1u);
  EXPECT_NE(seen.lost[0].reason.find("max_queued_events is 16384"), std::string::npos)
      << seen.lost[0].reason;
  EXPECT_EQ(seen.lost[0].below, std::nullopt);
  EXPECT_GT(seen.hints.size(), 16'000u);
  put(at("after"));
  seen = drain();
  EXPECT_TRUE(seen.lost.empty());
  EXPECT_TRUE(bits_at(seen, root_dir, "after") & hint_created);
}

TEST_P(EveryMode, DrainKeepsToItsBound) {
  open_tree("tmpfs", GetParam());
  for (int i = 0; i < 12'000; ++i) {
    ASSERT_EQ(mknod(at("f" + std::to_string(i)).c_str(), S_IFREG | 0644, 0), 0);
  }
  size_t hints = 0;
  int rounds = 0;
  for (bool more = true; more; ++rounds) {
    const auto drained = watcher->drain(1);
    ASSERT_TRUE(drained);
    EXPECT_LT(drained->events, 12'000u);
    hints += drained->hints.size();
    more = drained->more;
  }
  EXPECT_EQ(hints, 12'000u);
  EXPECT_GT(rounds, 1);
}

TEST_P(EveryMode, ForeignEventsCostAndLeakNothing) {
  open_tree("tmpfs", GetParam());
  const auto storm = [&] {
    uint64_t foreign = 0;
    for (int i = 0; i < 50'000; ++i) {
      put(outside + "/f" + std::to_string(i % 100));
      if (i % 1000 == 0) {
        const Drained seen = drain();
        EXPECT_TRUE(seen.hints.empty()) << describe(seen);
        foreign += seen.foreign;
      }
    }
    return foreign + drain().foreign;
  };
  for (int i = 0; i < 100; ++i) put(outside + "/f" + std::to_string(i));
  (void)drain();
  (void)storm();
  const size_t fds = open_fds();
  const size_t memory = resident_kib();
  const size_t asked = index.asked;
  const uint64_t foreign = storm();
  EXPECT_EQ(foreign > 0, filesystem_mark());
  EXPECT_EQ(open_fds(), fds);
#ifdef REPL_SANITIZED
  (void)memory;  // a sanitizer keeps what was freed; it reports leaks itself
#else
  EXPECT_LT(resident_kib(), memory + 1024);
#endif
  EXPECT_EQ(index.asked, asked) << "a foreign directory is looked up once";
}

TEST_P(EveryMode, ClosesEverything) {
  open_tree("ext4", GetParam());
  watcher.reset();
  const size_t fds = open_fds();
  NullLog log;
  for (int i = 0; i < 20; ++i) {
    auto opened = open_watcher(root_fd.get(), index, {.mode = GetParam()}, log);
    ASSERT_TRUE(opened);
    watcher = std::move(opened->watcher);
    const DirId d = make_dir(at("d" + std::to_string(i)));
    watcher->remove(d);
    watcher->ignore(root_fd.get());
    watcher.reset();
  }
  EXPECT_EQ(open_fds(), fds);
}

TEST_P(EveryMode, AddsWhileDraining) {
  open_tree("tmpfs", GetParam());
  constexpr int dirs = 500;
  for (int i = 0; i < dirs; ++i) ASSERT_EQ(mkdir(at("d" + std::to_string(i)).c_str(), 0755), 0);
  std::atomic<bool> done = false;
  std::thread scanner([&] {
    for (int i = 0; i < dirs; ++i) {
      watch(DirId{1000u + i}, at("d" + std::to_string(i)));
      put(at("d" + std::to_string(i) + "/f"));
    }
    done = true;
  });
  std::unordered_map<DirId, uint32_t> seen;
  for (bool last = false; !last;) {
    last = done;
    for (const Hint& hint : drain().hints) {
      if (hint.name == "f") seen[hint.dir] |= hint.bits;
    }
  }
  scanner.join();
  // The writes came after add(): each of them must have been told, whatever the owner stored
  // meanwhile.
  EXPECT_EQ(seen.size(), static_cast<size_t>(dirs));
  for (int i = 0; i < dirs; ++i) EXPECT_TRUE(seen[DirId{1000u + i}] & hint_created) << i;
}

TEST_P(EveryMode, DirectoriesByPathDescriptor) {
  open_tree("ext4", GetParam());
  ASSERT_EQ(mkdir(at("d").c_str(), 0755), 0);
  const Fd fd(open(at("d").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(watcher->add(DirId{9}, fd.get(), *io::handle_of(fd.get())));
  put(at("d/f"));
  EXPECT_TRUE(bits_at(drain(), DirId{9}, "f") & hint_created);
}

INSTANTIATE_TEST_SUITE_P(All, EveryMode, ::testing::ValuesIn(all_modes), [](const auto& mode) {
  std::string name(to_string(mode.param));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Row 3 of the table: knfsd opens by handle, and the name need not be in the dentry cache.
TEST_F(Watching, Row03WriteByHandleIsSeenByAFilesystemMarkOnly) {
  for (const char* kind : {"ext4", "xfs"}) {
    for (const Mode mode : all_modes) {
      const std::string image =
          Sandbox::get().image(kind, kind == std::string("xfs") ? "400M" : "64M");
      const std::string path = Sandbox::get().fresh_dir("handle");
      run(fmt::format("mount -o loop {} {} && touch {}/f", image, path, path));
      std::string handle;
      uint64_t inode = 0;
      {
        const Fd fd(open((path + "/f").c_str(), O_RDONLY | O_CLOEXEC));
        handle = *io::handle_of(fd.get());
        inode = inode_of(path + "/f");
      }
      run(fmt::format("umount {1} && mount -o loop {0} {1}", image, path));
      watch_at(path, mode);
      {
        std::vector<char> buffer(sizeof(file_handle) + handle.size());
        auto* raw = reinterpret_cast<file_handle*>(buffer.data());
        raw->handle_bytes = static_cast<unsigned>(handle.size() - 4);
        memcpy(&raw->handle_type, handle.data(), 4);
        memcpy(raw->f_handle, handle.data() + 4, handle.size() - 4);
        const Fd fd(open_by_handle_at(root_fd.get(), raw, O_WRONLY | O_CLOEXEC));
        ASSERT_TRUE(fd.valid());
        ASSERT_EQ(write(fd.get(), "x", 1), 1);
      }
      const Drained seen = drain();
      const bool complete = mode == Mode::fanotify_filesystem;
      EXPECT_EQ(bits_of_inode(seen, inode), complete ? hint_modified | hint_closed : 0u)
          << kind << to_string(mode) << describe(seen);
      watcher.reset();
      root_fd.reset();
      run("umount " + path);
      std::filesystem::remove(image);
    }
  }
}

TEST_F(Watching, ChoosesByTheTreesShare) {
  const auto chosen = [&](const std::string& path) {
    watch_at(path, std::nullopt);
    return watcher->mode();
  };
  for (const char* kind : {"tmpfs", "ext4", "xfs", "btrfs"}) {
    const std::string top = Sandbox::get().filesystem(kind);
    EXPECT_EQ(chosen(top), Mode::fanotify_filesystem) << kind;
    EXPECT_NE(explanation.find("whole filesystem"), std::string::npos) << explanation;
    std::filesystem::create_directories(top + "/part");
    EXPECT_EQ(chosen(top + "/part"), Mode::fanotify_directories) << kind;
    EXPECT_NE(explanation.find("part of its filesystem"), std::string::npos) << explanation;
  }
  EXPECT_EQ(chosen(Sandbox::get().filesystem("btrfs_subvolume")), Mode::fanotify_directories);
  EXPECT_EQ(chosen(Sandbox::get().filesystem("overlay")), Mode::inotify);
  EXPECT_NE(explanation.find("but fanotify"), std::string::npos) << explanation;
}

TEST_F(Watching, ABindMountOfAPartIsAPart) {
  const std::string part = Sandbox::get().filesystem("ext4") + "/bound";
  const std::string view = Sandbox::get().fresh_dir("bind");
  std::filesystem::create_directories(part);
  ASSERT_EQ(mount(part.c_str(), view.c_str(), nullptr, MS_BIND, nullptr), 0);
  watch_at(view, std::nullopt);
  EXPECT_EQ(watcher->mode(), Mode::fanotify_directories);
  put(at("f"));
  EXPECT_TRUE(bits_at(drain(), root_dir, "f") & hint_created);
  ASSERT_EQ(umount2(view.c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(drain().root_gone);
}

TEST_F(Watching, AForcedModeThatCannotBeHadSaysWhy) {
  const auto refused = [&](const std::string& kind) {
    const Fd fd(open(Sandbox::get().filesystem(kind).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    NullLog log;
    const auto opened = open_watcher(fd.get(), index, {.mode = Mode::fanotify_filesystem}, log);
    EXPECT_FALSE(opened);
    return opened ? Error{} : opened.error();
  };
  const Error subvolume = refused("btrfs_subvolume");
  EXPECT_EQ(subvolume.code, ErrorCode::unsupported);
  EXPECT_NE(subvolume.message.find("btrfs subvolume"), std::string::npos) << subvolume.message;
  const Error overlay = refused("overlay");
  EXPECT_EQ(overlay.code, ErrorCode::unsupported) << overlay.message;
  EXPECT_NE(overlay.message.find("as configured"), std::string::npos) << overlay.message;
}

TEST_F(Watching, ProbeSaysWhatCanBeHad) {
  const Fd fd(open(Sandbox::get().filesystem("btrfs_subvolume").c_str(),
                   O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const size_t fds = open_fds();
  const auto found = probe(fd.get());
  ASSERT_EQ(found.size(), 3u);
  EXPECT_FALSE(found[0].available);
  EXPECT_FALSE(found[0].reason.empty());
  EXPECT_TRUE(found[1].available) << found[1].reason;
  EXPECT_TRUE(found[2].available) << found[2].reason;
  EXPECT_EQ(open_fds(), fds);
}

TEST_F(Watching, UnprivilegedFallsBackToInotify) {
  const std::string path = Sandbox::get().filesystem("ext4") + "/nobody";
  std::filesystem::create_directories(path);
  ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
  // The sandbox is closed to others; the process keeps what it can reach by descriptor.
  ASSERT_EQ(chdir(path.c_str()), 0);
  in_child([&] {
    become_nobody();
    watch_at(".", std::nullopt);
    ASSERT_TRUE(watcher);
    EXPECT_EQ(watcher->mode(), Mode::inotify);
    EXPECT_NE(explanation.find("CAP_SYS_ADMIN"), std::string::npos) << explanation;
    put("f");
    EXPECT_TRUE(bits_at(drain(), root_dir, "f") & hint_created);
    NullLog log;
    const auto forced =
        open_watcher(root_fd.get(), index, {.mode = Mode::fanotify_filesystem}, log);
    ASSERT_FALSE(forced);
    EXPECT_EQ(forced.error().code, ErrorCode::not_permitted) << forced.error().message;
    watch_at(".", Mode::fanotify_directories);
    put("g");
    const Drained seen = drain();
    EXPECT_TRUE(bits_at(seen, root_dir, "g") & hint_created) << describe(seen);
    EXPECT_NE(bits_of_inode(seen, inode_of("g")), 0u) << describe(seen);
  });
  ASSERT_EQ(chdir("/"), 0);
}

// In a user namespace of its own the limit is the namespace's, and root of it may set it.
void expect_limit(const char* sysctl, const std::function<Status(int)>& add) {
  write_text((std::string("/proc/sys/user/") + sysctl).c_str(), "8");
  Status status;
  for (int i = 0; i < 20 && status; ++i) status = add(i);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::limit);
  const std::string& message = status.error().message;
  EXPECT_NE(message.find(fmt::format("user.{} is 8,", sysctl)), std::string::npos) << message;
  EXPECT_NE(message.find(fmt::format("user.{}=1048576", sysctl)), std::string::npos) << message;
}

TEST_F(Watching, RunningOutOfWatchesNamesTheSysctl) {
#ifdef REPL_SANITIZED_THREAD
  GTEST_SKIP()
      << "a user namespace needs a single-threaded child; the sanitizer has a thread of its own";
#endif
  const std::string path = Sandbox::get().filesystem("ext4") + "/limit";
  for (int i = 0; i < 20; ++i) std::filesystem::create_directories(path + "/d" + std::to_string(i));
  const auto attempt = [&](Mode mode, const char* sysctl) {
    in_child([&] {
      ASSERT_EQ(unshare(CLONE_NEWUSER), 0);
      write_text("/proc/self/setgroups", "deny");
      write_text("/proc/self/gid_map", "0 0 1");
      write_text("/proc/self/uid_map", "0 0 1");
      watch_at(path, mode);
      ASSERT_TRUE(watcher);
      expect_limit(sysctl, [&](int i) -> Status {
        const Fd fd(open(at("d" + std::to_string(i)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        return watcher->add(DirId{100u + i}, fd.get(), *io::handle_of(fd.get()));
      });
      // What was watched stays watched.
      put(at("d0/f"));
      EXPECT_TRUE(bits_at(drain(), DirId{100}, "f") & hint_closed);
    });
  };
  attempt(Mode::inotify, "max_inotify_watches");
  attempt(Mode::fanotify_directories, "max_fanotify_marks");
}

TEST_F(Watching, FanotifyRefusesADirectoryWithoutHandle) {
  open_tree("tmpfs", Mode::fanotify_directories);
  EXPECT_FALSE(watcher->add(DirId{9}, root_fd.get(), ""));
}

}  // namespace
}  // namespace repl::watch
