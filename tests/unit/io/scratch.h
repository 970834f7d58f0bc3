// scratch.h: directories and filesystems for tests. Mounts live in a mount namespace of the test
// process alone, so that nothing is left behind however the test ends. Needs root.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>

#include "engine/base/fd.h"
#include "engine/io/fs_ops.h"

namespace repl::test {

// Removed with all it holds at the end.
class ScratchDir {
 public:
  explicit ScratchDir(const std::string& below = "/tmp") {
    std::string path = below + "/repl-test-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    path_ = path;
    fd_ = Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~ScratchDir() {
    const size_t slash = path_.rfind('/');
    const Fd parent(::open(path_.substr(0, slash).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    static_cast<void>(io::remove_tree(parent.get(), path_.substr(slash + 1)));
  }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }
  [[nodiscard]] int fd() const { return fd_.get(); }

  void write(std::string_view name, std::string_view bytes) const {
    std::ofstream out(path(name), std::ios::binary | std::ios::trunc);
    out << bytes;
    ASSERT_TRUE(out.flush().good()) << name;
  }
  [[nodiscard]] std::string read(std::string_view name) const {
    std::ifstream in(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::string path_;
  Fd fd_;
};

// Once per process, from its first thread.
inline void enter_private_mounts() {
  static const bool entered = [] {
    if (::unshare(CLONE_NEWNS) != 0) return false;
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  }();
  ASSERT_TRUE(entered) << "a private mount namespace needs root";
}

inline void run_command(const std::string& command) {
  ASSERT_EQ(std::system(command.c_str()), 0) << command;  // NOLINT(concurrency-mt-unsafe)
}

// Unmounted before their directory goes.
struct Mounts {
  ScratchDir images;
  std::map<std::string, std::string> places;
  Mounts() = default;
  Mounts(const Mounts&) = delete;
  Mounts& operator=(const Mounts&) = delete;
  ~Mounts() {
    for (const auto& [type, where] : places) ::umount2(where.c_str(), MNT_DETACH);
  }
};

// A freshly made filesystem (ext4, xfs, btrfs, tmpfs), mounted for the life of the process.
inline const std::string& mounted(const std::string& type) {
  static Mounts mounts;
  std::string& where = mounts.places[type];
  if (!where.empty()) return where;
  [&] {
    enter_private_mounts();
    where = mounts.images.path(type);
    ASSERT_EQ(::mkdir(where.c_str(), 0755), 0);
    if (type == "tmpfs") {
      ASSERT_EQ(::mount("tmpfs", where.c_str(), "tmpfs", 0, nullptr), 0);
      return;
    }
    const std::string image = where + ".img";
    run_command("truncate -s 512M " + image);
    run_command("mkfs." + type + " -q " + image);
    run_command("mount -o loop " + image + " " + where);
    ASSERT_EQ(::unlink(image.c_str()), 0);
  }();
  return where;
}

inline void bind_mount(const std::string& from, const std::string& to) {
  enter_private_mounts();
  ASSERT_EQ(::mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr), 0) << strerror(errno);
}

}  // namespace repl::test
