#include "engine/io/uring_backend.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <thread>

#include "engine/base/check.h"
#include "engine/base/limits.h"
#include "engine/io/plain_backend.h"

namespace repl::io {

namespace {

// The length of a submission is 32 bits, and the kernel moves no more than 2 GiB - 4 KiB at a time.
constexpr size_t submission_bytes_max = 1 << 30;
constexpr int64_t not_ended = std::numeric_limits<int64_t>::min();
// Ten seconds without memory for one request, then the ring is given up.
constexpr int busy_tries_max = 10'000;
constexpr std::chrono::milliseconds busy_pause{1};

int open_ring(struct io_uring& ring) {
  // Completions are noticed when we enter the kernel to wait for them: no interrupts in between
  // (Linux 5.19).
  const int done = io_uring_queue_init(limits::io_ring_depth, &ring, IORING_SETUP_COOP_TASKRUN);
  return done == -EINVAL ? io_uring_queue_init(limits::io_ring_depth, &ring, 0) : done;
}

bool has_operations(struct io_uring& ring) {
  struct io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  if (probe == nullptr) return false;
  const bool all = io_uring_opcode_supported(probe, IORING_OP_READ) != 0 &&
                   io_uring_opcode_supported(probe, IORING_OP_WRITE) != 0 &&
                   io_uring_opcode_supported(probe, IORING_OP_FSYNC) != 0;
  io_uring_free_probe(probe);
  return all;
}

}  // namespace

Result<std::unique_ptr<UringBackend>> UringBackend::make() {
  std::unique_ptr<UringBackend> backend(new UringBackend);
  if (const int done = open_ring(backend->ring_); done < 0) {
    return fail(sys_error("io_uring_setup (see kernel.io_uring_disabled and seccomp)", -done));
  }
  backend->ring_open_ = true;
  if (!has_operations(backend->ring_)) {
    return fail(ErrorCode::unsupported, "io_uring: this kernel has no read, write or fsync in it");
  }
  return backend;
}

UringBackend::~UringBackend() {
  if (ring_open_) io_uring_queue_exit(&ring_);
}

void UringBackend::run(std::span<Op> ops) {
  ops_ = ops;
  moved_.assign(ops.size(), 0);
  next_ = 0;
  for (Op& op : ops) op.result = not_ended;
  while (ring_open_) {
    fill();
    if (in_flight_ == 0) return;
    if (submit_and_wait()) {
      reap();
    } else {
      abandon_ring();
    }
  }
  for (Op& op : ops) {
    if (op.result == not_ended) run_plain(op);
  }
}

void UringBackend::fill() {
  while (in_flight_ < limits::io_ring_depth) {
    if (!again_.empty()) {
      prepare(again_.back());
      again_.pop_back();
    } else if (next_ < ops_.size()) {
      Op& op = ops_[next_];
      if (op.kind != OpKind::fsync && op.size == 0) {
        op.result = 0;
      } else {
        prepare(next_);
      }
      ++next_;
    } else {
      return;
    }
  }
}

void UringBackend::prepare(size_t index) {
  struct io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  REPL_CHECK(sqe != nullptr);  // in_flight_ < ring depth
  const Op& op = ops_[index];
  const size_t moved = moved_[index];
  const auto size = static_cast<unsigned>(std::min(op.size - moved, submission_bytes_max));
  switch (op.kind) {
    case OpKind::read:
      io_uring_prep_read(sqe, op.fd, op.buffer + moved, size, op.offset + moved);
      break;
    case OpKind::write:
      io_uring_prep_write(sqe, op.fd, op.buffer + moved, size, op.offset + moved);
      break;
    case OpKind::fsync:
      io_uring_prep_fsync(sqe, op.fd, 0);
      break;
  }
  io_uring_sqe_set_data64(sqe, index);
  ++in_flight_;
}

// False: the kernel does not take submissions any more.
bool UringBackend::submit_and_wait() {
  for (int tries = 0; tries < busy_tries_max; ++tries) {
    const int done = io_uring_submit_and_wait(&ring_, 1);
    if (done >= 0 || done == -EINTR) return true;
    // No memory for requests, or no room for completions: reaping makes room, else a moment later
    // there is.
    if (done != -EAGAIN && done != -EBUSY) return false;
    if (io_uring_cq_ready(&ring_) > 0) return true;
    std::this_thread::sleep_for(busy_pause);
  }
  return false;
}

void UringBackend::reap() {
  struct io_uring_cqe* cqe = nullptr;
  while (io_uring_cq_ready(&ring_) > 0 && io_uring_peek_cqe(&ring_, &cqe) == 0) {
    const size_t index = io_uring_cqe_get_data64(cqe);
    const int result = cqe->res;
    io_uring_cqe_seen(&ring_, cqe);
    --in_flight_;
    step(index, result);
  }
}

// One submission of the operation has ended.
void UringBackend::step(size_t index, int result) {
  Op& op = ops_[index];
  if (result == -EAGAIN || result == -EINTR) {
    run_plain(op);
  } else if (result < 0 || op.kind == OpKind::fsync) {
    op.result = result;
  } else if (result == 0) {  // the end of the file; a write never ends so
    op.result = op.kind == OpKind::read ? static_cast<int64_t>(moved_[index]) : -EIO;
  } else {
    moved_[index] += static_cast<size_t>(result);
    if (moved_[index] == op.size) {
      op.result = static_cast<int64_t>(op.size);
    } else {
      again_.push_back(index);
    }
  }
}

// What the kernel took before it began to refuse goes on, in buffers that are ours to give back
// only when it has ended. Waiting in the kernel is refused too, so the completions are watched in
// the shared ring. An operation that has ended is not run twice: an fsync reports an error once
// only.
void UringBackend::abandon_ring() {
  while (in_flight_ > io_uring_sq_ready(&ring_)) {
    std::this_thread::sleep_for(busy_pause);
    reap();
  }
  io_uring_queue_exit(&ring_);
  ring_open_ = false;
  in_flight_ = 0;
  again_.clear();
}

}  // namespace repl::io
