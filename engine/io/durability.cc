#include <unistd.h>

#include <cerrno>

#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"

namespace repl::io {

Status sync_fd(int fd) {
  if (uninterrupted([&] { return ::fsync(fd); }) != 0) return fail_errno("fsync");
  return {};
}

Status sync_filesystem(int fd) {
  if (uninterrupted([&] { return ::syncfs(fd); }) != 0) return fail_errno("syncfs");
  return {};
}

}  // namespace repl::io
