#include <fcntl.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <csignal>

#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"

namespace repl::io {

Result<uint64_t> free_bytes(int fd) {
  struct statvfs fs{};
  if (uninterrupted([&] { return ::fstatvfs(fd, &fs); }) != 0)
    return fail_errno("ask for free space");
  return static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
}

bool is_open_elsewhere(int fd) {
  // RACE: an open by somebody else while we hold the lease signals us; SIGIO would end the process.
  if (::fcntl(fd, F_SETSIG, SIGURG) != 0) return true;
  if (::fcntl(fd, F_SETLEASE, F_WRLCK) != 0) return true;
  return ::fcntl(fd, F_SETLEASE, F_UNLCK) != 0;
}

}  // namespace repl::io
