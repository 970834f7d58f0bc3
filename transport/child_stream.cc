#include "transport/child_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <asio/buffer.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <csignal>
#include <optional>

#include "engine/base/escape.h"
#include "engine/base/fd.h"
#include "engine/io/start_program.h"
#include "transport/fd_stream.h"
#include "transport/io_core.h"

namespace repl::transport {

namespace {

constexpr size_t last_words_bytes_max = 2048;
constexpr std::chrono::milliseconds exit_wait{
    1000};  // for a child whose output ended, or before a signal

struct Pipe {
  Fd read;
  Fd write;
};

Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("make a pipe");
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

// Watches over the process: collects what it says on stderr, reaps it, and ends it if it does not
// end by itself.
class Child final : public Abortable, public std::enable_shared_from_this<Child> {
 public:
  Child(std::shared_ptr<IoCore> io, pid_t pid)
      : io_(std::move(io)),
        pid_(pid),
        exited_(io_->context()),
        words_(io_->context()),
        timer_(io_->context()) {}

  ~Child() override {
    if (!status_) kill_and_reap();
  }

  Status watch(Fd pidfd, Fd words) {
    std::error_code error;
    exited_.assign(pidfd.get(), error);
    if (!error) (void)pidfd.release();
    if (!error) words_.assign(words.get(), error);
    if (!error) (void)words.release();
    if (!error) words_.non_blocking(true, error);
    if (error) return fail(sys_error("watch a child process", error.value()));
    io_->adopt(shared_from_this());
    io_->post([self = shared_from_this()] {
      self->listen();
      self->exited_.async_wait(asio::posix::stream_descriptor::wait_read,
                               [self](std::error_code failed) {
                                 if (!failed) self->reap();
                               });
    });
    return {};
  }

  // Calls `then` once the child has ended, or after a moment. One caller at a time.
  void when_gone(std::function<void()> then) {
    if (status_) {
      asio::post(io_->context(), std::move(then));
      return;
    }
    then_ = std::move(then);
    timer_.expires_after(exit_wait);
    timer_.async_wait([self = shared_from_this()](std::error_code error) {
      if (!error) self->call_then();
    });
  }

  // Its input and output are closed: it should end. If not, it is asked, then forced.
  void dismiss() {
    if (status_ || dismissed_) return;
    dismissed_ = true;
    call_then();
    timer_.expires_after(exit_wait);
    timer_.async_wait([self = shared_from_this()](std::error_code error) {
      if (error || self->status_) return;
      ::kill(self->pid_, SIGTERM);
      self->timer_.expires_after(exit_wait);
      self->timer_.async_wait([self](std::error_code cancelled) {
        if (!cancelled && !self->status_) self->kill_and_reap();
      });
    });
  }

  void abort() override {
    if (!status_) kill_and_reap();
    close_all();
  }

  [[nodiscard]] std::string last_words() const {
    std::string text = said_;
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    std::string line;
    std::string out;
    const auto add = [&] {
      if (!line.empty()) out += (out.empty() ? "" : "; ") + escape(line);
      line.clear();
    };
    for (const char c : text) {
      if (c == '\n') {
        add();
      } else if (c != '\r') {
        line += c;
      }
    }
    add();
    return out;
  }
  [[nodiscard]] std::string fate() const {
    if (!status_) return "still runs";
    if (WIFEXITED(*status_)) return "exited with status " + std::to_string(WEXITSTATUS(*status_));
    return "was ended by signal " + std::to_string(WTERMSIG(*status_));
  }

 private:
  void listen() {
    words_.async_read_some(asio::buffer(buffer_),
                           [self = shared_from_this()](std::error_code error, size_t bytes) {
                             if (error) return;
                             self->hear({self->buffer_.data(), bytes});
                             self->listen();
                           });
  }
  void hear(std::string_view bytes) {
    said_.append(bytes);
    if (said_.size() > last_words_bytes_max) said_.erase(0, said_.size() - last_words_bytes_max);
  }
  // It has ended; what it said last may still be in the pipe. A grandchild may hold the pipe open,
  // so the end of stderr itself is not waited for.
  void reap() {
    if (status_) return;
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    status_ = status;
    while (words_.is_open()) {
      const ssize_t n = ::read(words_.native_handle(), buffer_.data(), buffer_.size());
      if (n <= 0) break;
      hear({buffer_.data(), static_cast<size_t>(n)});
    }
    close_all();
    call_then();
  }
  void kill_and_reap() {
    ::kill(pid_, SIGKILL);
    reap();
  }
  void close_all() {
    std::error_code ignored;
    exited_.close(ignored);
    words_.close(ignored);
    timer_.cancel();
    call_then();
  }
  void call_then() {
    if (auto then = std::exchange(then_, nullptr)) then();
  }

  std::shared_ptr<IoCore> io_;
  pid_t pid_;
  asio::posix::stream_descriptor exited_;
  asio::posix::stream_descriptor words_;
  asio::steady_timer timer_;
  std::array<char, 1024> buffer_{};
  std::string said_;
  std::optional<int> status_;
  std::function<void()> then_;
  bool dismissed_ = false;
};

class ChildStream final : public ByteStream {
 public:
  ChildStream(std::unique_ptr<ByteStream> pipes, std::shared_ptr<Child> child)
      : pipes_(std::move(pipes)), child_(std::move(child)) {}
  ~ChildStream() override { child_->dismiss(); }
  ChildStream(const ChildStream&) = delete;
  ChildStream& operator=(const ChildStream&) = delete;

  // The end of its output comes before its last words, which are worth a moment.
  void read(std::span<char> into, OnRead done) override {
    pipes_->read(into,
                 [child = child_, done = std::move(done)](std::error_code error, size_t bytes) {
                   if (!error) {
                     done(error, bytes);
                     return;
                   }
                   child->when_gone([done, error] { done(error, 0); });
                 });
  }
  void write(std::string_view bytes, OnWrite done) override {
    pipes_->write(bytes, std::move(done));
  }
  void end_writing() override { pipes_->end_writing(); }
  void close() override {
    pipes_->close();
    child_->dismiss();
  }
  [[nodiscard]] std::string explain(const std::error_code&) const override {
    const std::string words = child_->last_words();
    return "ssh " + child_->fate() + (words.empty() ? "" : ": " + words);
  }

 private:
  std::unique_ptr<ByteStream> pipes_;
  std::shared_ptr<Child> child_;
};

}  // namespace

Result<std::unique_ptr<ByteStream>> make_child_stream(const std::shared_ptr<IoCore>& core,
                                                      const std::vector<std::string>& arguments) {
  auto in = make_pipe();
  auto out = make_pipe();
  auto err = make_pipe();
  if (!in || !out || !err) return fail(sys_error("make a pipe", EMFILE));
  auto pid = io::start_program({.arguments = arguments,
                                .in = in->read.get(),
                                .out = out->write.get(),
                                .err = err->write.get()});
  if (!pid) return fail(std::move(pid.error()));
  auto child = std::make_shared<Child>(core, *pid);  // reaps it from here on
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)));
  if (!pidfd.valid()) return fail_errno("watch the process of " + arguments[0]);
  if (auto status = child->watch(std::move(pidfd), std::move(err->read)); !status) {
    return fail(std::move(status.error()));
  }
  auto pipes = make_fd_stream(core, std::move(out->read), std::move(in->write));
  if (!pipes) return fail(std::move(pipes.error()));
  return std::make_unique<ChildStream>(std::move(*pipes), std::move(child));
}

}  // namespace repl::transport
