// uring_backend.h: the operations of backend.h through one io_uring. Internal to engine/io.
//
// At most limits::io_ring_depth operations are in flight; the rest of a batch waits its turn. What
// is short is submitted again from where it ended. When the kernel hands an operation back (EAGAIN,
// EINTR) it is run as a plain system call; when it refuses the ring itself (a seccomp filter set
// later), everything is, from then on.
//
// Thread: one owner. Source: io_uring(7), Linux 5.6 for the three operations.
#pragma once

#include <liburing.h>

#include <memory>
#include <vector>

#include "engine/io/backend.h"

namespace repl::io {

class UringBackend final : public Backend {
 public:
  // What the kernel refuses, in words, is the error.
  [[nodiscard]] static Result<std::unique_ptr<UringBackend>> make();
  ~UringBackend() override;
  UringBackend(const UringBackend&) = delete;
  UringBackend& operator=(const UringBackend&) = delete;

  void run(std::span<Op> ops) override;
  [[nodiscard]] std::string_view name() const override { return "io_uring"; }

 private:
  UringBackend() = default;
  void fill();
  void prepare(size_t index);
  bool submit_and_wait();
  void reap();
  void step(size_t index, int result);
  void abandon_ring();

  struct io_uring ring_{};
  bool ring_open_ = false;
  size_t in_flight_ = 0;  // prepared and not reaped
  // The batch that run() has in hand.
  std::span<Op> ops_;
  std::vector<size_t> moved_;  // bytes, per operation
  std::vector<size_t> again_;  // indexes of operations that were short
  size_t next_ = 0;            // the first that was never prepared
};

}  // namespace repl::io
