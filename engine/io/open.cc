#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"

namespace repl::io {

namespace {

// openat2(2), Linux 5.6. A leaf has no ".." and no '/', so EAGAIN can only come from a lease.
int open_leaf(int dir, const Leaf& leaf, int flags, unsigned mode = 0) {
  struct open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  return static_cast<int>(
      uninterrupted([&] { return ::syscall(SYS_openat2, dir, leaf.c_str(), &how, sizeof how); }));
}

// O_NOATIME needs the owner or CAP_FOWNER: without either, the access time changes and nothing is
// lost.
int open_leaf_noatime(int dir, const Leaf& leaf, int flags) {
  const int fd = open_leaf(dir, leaf, flags | O_NOATIME);
  return fd < 0 && errno == EPERM ? open_leaf(dir, leaf, flags) : fd;
}

// RACE: between a caller's look and this open, the name may have become a fifo, a device, anything.
// O_NONBLOCK makes the open return at once; what is not a regular file is refused here.
Result<Fd> regular_only(Fd fd, std::string_view name) {
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail_named("stat", name);
  if (!S_ISREG(st.st_mode)) {
    return fail(ErrorCode::changed, fmt::format("{} is not a regular file", escape(name)),
                Remedy::rescan);
  }
  // io_uring and network filesystems take O_NONBLOCK at its word.
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK) != 0) {
    return fail_named("prepare", name);
  }
  return fd;
}

std::unexpected<Error> fail_open(std::string_view name) {
  const int saved = errno;
  Error error = sys_error(fmt::format("open {}", escape(name)), saved);
  // A lease (Samba, NFS server) is being broken; its holder has some seconds to agree.
  if (saved == EWOULDBLOCK) error.remedy = Remedy::retry;
  // A symlink (ELOOP), a socket or a device without driver (ENXIO), a directory (EISDIR), where a
  // regular file was.
  if (saved == ELOOP || saved == ENXIO || saved == EISDIR) {
    error.code = ErrorCode::changed;
    error.remedy = Remedy::rescan;
  }
  return fail(std::move(error));
}

}  // namespace

Result<Fd> open_root(const std::string& path) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos) {
    return fail(ErrorCode::invalid, fmt::format("'{}' is not an absolute path", escape(path)));
  }
  const int fd =
      uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return fail_named("open directory", path);
  return Fd(fd);
}

Result<Fd> open_dir(int dir, std::string_view name) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  const int fd = open_leaf_noatime(dir, leaf, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fail_named("open directory", name);
  return Fd(fd);
}

Result<Fd> open_read(int dir, std::string_view name) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  const int fd = open_leaf_noatime(dir, leaf, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return fail_open(name);
  return regular_only(Fd(fd), name);
}

Result<Fd> open_path(int dir, std::string_view name) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  const int fd = open_leaf(dir, leaf, O_PATH);
  if (fd < 0) return fail_named("open", name);
  return Fd(fd);
}

Result<Fd> create_file(int dir, std::string_view name) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  const int fd = open_leaf(dir, leaf, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd < 0) return fail_named("create", name);
  return Fd(fd);
}

Result<Fd> open_write(int dir, std::string_view name) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  const int fd = open_leaf(dir, leaf, O_RDWR | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return fail_open(name);
  return regular_only(Fd(fd), name);
}

}  // namespace repl::io
