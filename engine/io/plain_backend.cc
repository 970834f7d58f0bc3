#include "engine/io/plain_backend.h"

#include <unistd.h>

#include <cerrno>

#include "engine/io/leaf.h"

namespace repl::io {

namespace {

// Read or write `op` to the end of its buffer, or of the file.
int64_t transfer(const Op& op) {
  size_t done = 0;
  while (done < op.size) {
    const auto at = static_cast<off_t>(op.offset + done);
    const ssize_t moved = uninterrupted([&] {
      return op.kind == OpKind::read ? ::pread(op.fd, op.buffer + done, op.size - done, at)
                                     : ::pwrite(op.fd, op.buffer + done, op.size - done, at);
    });
    if (moved < 0) return -errno;
    if (moved == 0 && op.kind == OpKind::write) return -EIO;
    if (moved == 0) break;
    done += static_cast<size_t>(moved);
  }
  return static_cast<int64_t>(done);
}

}  // namespace

void run_plain(Op& op) {
  if (op.kind != OpKind::fsync) {
    op.result = transfer(op);
    return;
  }
  op.result = uninterrupted([&] { return ::fsync(op.fd); }) == 0 ? 0 : -errno;
}

void PlainBackend::run(std::span<Op> ops) {
  for (Op& op : ops) run_plain(op);
}

}  // namespace repl::io
