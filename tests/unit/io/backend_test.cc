#include "engine/io/backend.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <thread>

#include "engine/base/limits.h"
#include "engine/io/plain_backend.h"
#include "engine/io/uring_backend.h"
#include "tests/unit/io/scratch.h"

namespace repl::io {
namespace {

using test::ScratchDir;

std::string block(size_t number, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(number * 31 + i);
  return bytes;
}

class BackendTest : public ::testing::TestWithParam<BackendChoice> {
 protected:
  ScratchDir dir_;
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());
};
INSTANTIATE_TEST_SUITE_P(Both, BackendTest,
                         ::testing::Values(BackendChoice::automatic, BackendChoice::plain));

TEST_P(BackendTest, BatchesLargerThanTheRing) {
  constexpr size_t count = limits::io_ring_depth * 5 + 3;
  constexpr size_t size = 5000;
  const Result<Fd> fd = create_file(dir_.fd(), "file");
  std::vector<std::string> buffers;
  std::vector<Op> ops;
  for (size_t i = 0; i < count; ++i) buffers.push_back(block(i, size));
  for (size_t i = 0; i < count; ++i) {
    ops.push_back({.kind = OpKind::write,
                   .fd = fd->get(),
                   .offset = i * size,
                   .buffer = buffers[i].data(),
                   .size = size});
  }
  backend_->run(ops);
  for (const Op& op : ops) ASSERT_EQ(op.result, static_cast<int64_t>(size));
  std::vector<Op> sync{{.kind = OpKind::fsync, .fd = fd->get()}};
  backend_->run(sync);
  EXPECT_EQ(sync[0].result, 0);
  for (std::string& buffer : buffers) buffer.assign(size, '?');
  for (Op& op : ops) op.kind = OpKind::read;
  backend_->run(ops);
  for (size_t i = 0; i < count; ++i) {
    ASSERT_EQ(ops[i].result, static_cast<int64_t>(size));
    ASSERT_EQ(buffers[i], block(i, size));
  }
}

TEST_P(BackendTest, EachOperationSaysHowItWent) {
  dir_.write("file", "0123456789");
  const Result<Fd> fd = open_read(dir_.fd(), "file");
  const Result<Fd> sub = open_root(dir_.path());
  char buffer[8][16];
  std::vector<Op> ops{
      {.kind = OpKind::read, .fd = fd->get(), .offset = 0, .buffer = buffer[0], .size = 16},
      {.kind = OpKind::read, .fd = fd->get(), .offset = 8, .buffer = buffer[1], .size = 16},
      {.kind = OpKind::read, .fd = fd->get(), .offset = 10, .buffer = buffer[2], .size = 16},
      {.kind = OpKind::read, .fd = fd->get(), .offset = 0, .buffer = nullptr, .size = 0},
      {.kind = OpKind::read, .fd = -1, .offset = 0, .buffer = buffer[3], .size = 16},
      {.kind = OpKind::write, .fd = fd->get(), .offset = 0, .buffer = buffer[4], .size = 16},
      {.kind = OpKind::read, .fd = sub->get(), .offset = 0, .buffer = buffer[5], .size = 16},
      {.kind = OpKind::fsync, .fd = -1},
      {.kind = OpKind::fsync, .fd = sub->get()},
  };
  backend_->run(ops);
  EXPECT_EQ(ops[0].result, 10);
  EXPECT_EQ(std::string_view(buffer[0], 10), "0123456789");
  EXPECT_EQ(ops[1].result, 2);
  EXPECT_EQ(ops[2].result, 0);
  EXPECT_EQ(ops[3].result, 0);
  EXPECT_EQ(ops[4].result, -EBADF);
  EXPECT_EQ(ops[5].result, -EBADF);
  EXPECT_EQ(ops[6].result, -EISDIR);
  EXPECT_EQ(ops[7].result, -EBADF);
  EXPECT_EQ(ops[8].result, 0);
  backend_->run({});
}

// A pipe gives what it has: reads and writes come short, and are taken up where they ended.
TEST_P(BackendTest, ShortReadsAndWritesGoOn) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  const std::string sent = block(1, 1 << 20);
  std::string got(sent.size() + 100, '?');
  std::thread feeder([&] {
    for (size_t at = 0; at < sent.size();) {
      const ssize_t put =
          ::write(writer.get(), sent.data() + at, std::min<size_t>(7777, sent.size() - at));
      ASSERT_GT(put, 0);
      at += static_cast<size_t>(put);
    }
    writer.reset();
  });
  const bool is_plain = backend_->name() == "plain";
  if (is_plain) {
    // pread(2) refuses pipes: the plain backend is for files.
    std::vector<Op> ops{
        {.kind = OpKind::read, .fd = reader.get(), .buffer = got.data(), .size = 1}};
    backend_->run(ops);
    EXPECT_EQ(ops[0].result, -ESPIPE);
    size_t drained = 0;
    for (ssize_t n = 1; n > 0; drained += static_cast<size_t>(n))
      n = ::read(reader.get(), got.data(), got.size());
    EXPECT_EQ(drained, sent.size());
  } else {
    std::vector<Op> ops{
        {.kind = OpKind::read, .fd = reader.get(), .buffer = got.data(), .size = got.size()}};
    backend_->run(ops);
    EXPECT_EQ(ops[0].result, static_cast<int64_t>(sent.size()));
    EXPECT_EQ(got.substr(0, sent.size()), sent);
  }
  feeder.join();
}

// A write that meets the file size limit is short first, then fails: an error is never taken for
// success.
TEST_P(BackendTest, AWriteIsNeverShort) {
  const Result<Fd> fd = create_file(dir_.fd(), "file");
  struct rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  struct rlimit low = old;
  low.rlim_cur = 100'000;
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  std::string bytes = block(3, 150'000);
  std::vector<Op> ops{
      {.kind = OpKind::write, .fd = fd->get(), .buffer = bytes.data(), .size = bytes.size()}};
  backend_->run(ops);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, previous);
  EXPECT_EQ(ops[0].result, -EFBIG);
}

TEST(Backend, TheChoiceIsNamed) {
  EXPECT_EQ(make_backend(BackendChoice::plain)->name(), "plain");
  const bool usable = io_uring_refusal().empty();
  EXPECT_EQ(make_backend(BackendChoice::automatic)->name(), usable ? "io_uring" : "plain");
}

void deny(long syscall_number) {
  const struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(syscall_number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program{.len = 4, .filter = const_cast<struct sock_filter*>(code)};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    ::_exit(100);
  }
}

// Runs in a child: a filter stays for life. 0 is success; anything else names the step.
template <typename Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int write_and_read_back(Backend& backend, int dir) {
  const Result<Fd> fd =
      create_file(dir, "file" + std::to_string(::getpid()) + std::string(backend.name()));
  std::vector<std::string> buffers;
  std::vector<Op> ops;
  for (size_t i = 0; i < 200; ++i) buffers.push_back(block(i, 1000));
  for (size_t i = 0; i < 200; ++i) {
    ops.push_back({.kind = OpKind::write,
                   .fd = fd->get(),
                   .offset = i * 1000,
                   .buffer = buffers[i].data(),
                   .size = 1000});
  }
  backend.run(ops);
  for (std::string& buffer : buffers) buffer.assign(1000, '?');
  for (Op& op : ops) {
    if (op.result != 1000) return 20;
    op.kind = OpKind::read;
  }
  backend.run(ops);
  for (size_t i = 0; i < 200; ++i) {
    if (ops[i].result != 1000 || buffers[i] != block(i, 1000)) return 21;
  }
  return 0;
}

TEST(Backend, ASeccompFilterOnSetupFallsBack) {
  const ScratchDir dir;
  EXPECT_EQ(in_child([&] {
              deny(SYS_io_uring_setup);
              if (io_uring_refusal().find("Operation not permitted") == std::string::npos)
                return 10;
              const auto backend = make_backend(BackendChoice::automatic);
              if (backend->name() != "plain") return 11;
              return write_and_read_back(*backend, dir.fd());
            }),
            0);
}

TEST(Backend, ASeccompFilterOnRegisterFallsBack) {
  EXPECT_EQ(in_child([&] {
              deny(SYS_io_uring_register);
              return make_backend(BackendChoice::automatic)->name() == "plain" ? 0 : 11;
            }),
            0);
}

// The filter comes after the ring was made: no operation is lost, none fails.
TEST(Backend, ASeccompFilterOnEnterFallsBackInFlight) {
  if (!io_uring_refusal().empty()) {
    ASSERT_EQ(std::getenv("CI"), nullptr) << "CI has io_uring: " << io_uring_refusal();
    GTEST_SKIP() << io_uring_refusal();
  }
  const ScratchDir dir;
  EXPECT_EQ(in_child([&] {
              const auto backend = make_backend(BackendChoice::automatic);
              if (const int before = write_and_read_back(*backend, dir.fd()); before != 0)
                return before;
              ::unlinkat(dir.fd(), ("file" + std::to_string(::getpid()) + "io_uring").c_str(), 0);
              deny(SYS_io_uring_enter);
              return write_and_read_back(*backend, dir.fd());
            }),
            0);
}

}  // namespace
}  // namespace repl::io
