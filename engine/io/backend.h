// backend.h: reads, writes and fsyncs in batches. Two implementations behind one interface:
// io_uring, and plain system calls on the calling thread where io_uring is disabled
// (kernel.io_uring_disabled, seccomp).
//
// Metadata operations are not here: open, statx, rename and unlink go to kernel worker threads in
// io_uring anyway, and plain threads measured faster (docs/ARCHITECTURE.md).
//
// Thread: one owner per instance; instances are cheap.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace repl::io {

enum class OpKind : uint8_t { read, write, fsync };

struct Op {
  OpKind kind = OpKind::read;
  int fd = -1;
  uint64_t offset = 0;
  char* buffer = nullptr;  // read: filled; write: const
  size_t size = 0;
  int64_t result =
      0;  // bytes, or -errno; short reads only at the end of the file, writes never short
};

class Backend {
 public:
  virtual ~Backend() = default;
  // Runs all, in any order, and returns when all have ended; each Op says how it went.
  virtual void run(std::span<Op> ops) = 0;
  [[nodiscard]] virtual std::string_view name() const = 0;  // "io_uring" or "plain"
};

enum class BackendChoice : uint8_t { automatic, plain };

// Probes io_uring_setup(2) and the operations once per instance; falls back to plain. Never fails.
[[nodiscard]] std::unique_ptr<Backend> make_backend(BackendChoice choice);
// Why io_uring is not used, for `repl doctor`; empty if it can be.
[[nodiscard]] std::string io_uring_refusal();

}  // namespace repl::io
