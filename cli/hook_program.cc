#include "cli/hook_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <deque>
#include <filesystem>

#include "engine/base/escape.h"
#include "engine/base/fd.h"
#include "engine/io/start_program.h"

namespace repl::cli {

namespace {

constexpr size_t reads_at_end_max = 16;  // a pipe's whole content; others may go on writing

bool trusted_owner(const struct stat& stat) {
  return stat.st_uid == 0 || stat.st_uid == ::geteuid();
}
bool others_write(const struct stat& stat) { return (stat.st_mode & (S_IWGRP | S_IWOTH)) != 0; }

std::unexpected<Error> refuse(const std::string& path, const std::string& why) {
  return fail(ErrorCode::untrusted, escape(path) + ": " + why);
}

// Who may write to a directory can put another file into the place of the one that was looked at;
// not so in a sticky one, /tmp, where the owner of the file alone can.
Status check_directories(const std::string& path, std::filesystem::path dir) {
  for (;; dir = dir.parent_path()) {
    struct stat stat{};
    if (::stat(dir.c_str(), &stat) != 0) return fail_errno("look at " + escape(dir.string()));
    const bool sticky = (stat.st_mode & S_ISVTX) != 0;
    if (!trusted_owner(stat) || (others_write(stat) && !sticky)) {
      return refuse(path, "others than root can replace it in " + escape(dir.string()) +
                              "; make root its owner, and chmod go-w");
    }
    if (dir == dir.root_path()) return {};
  }
}

// What comes through the pipe, cut into bounded lines.
class OutputLines {
 public:
  explicit OutputLines(const std::function<void(std::string_view)>& line) : line_(line) {}

  void add(std::string_view bytes) {
    for (const char c : bytes) {
      if (c == '\n') {
        end_line();
      } else if (text_.size() < limits::hook_line_bytes_max) {
        text_ += c;
      }
    }
  }
  void end_line() {
    if (text_.ends_with('\r')) text_.pop_back();
    if (text_.empty()) return;
    tail_.push_back(escape(text_));
    text_.clear();
    if (tail_.size() > limits::hook_tail_lines_max) tail_.pop_front();
    if (++lines_ <= limits::hook_lines_max) line_(tail_.back());
  }
  [[nodiscard]] std::string finish() {
    end_line();
    if (lines_ > limits::hook_lines_max) {
      line_(fmt::format("{} more lines of output are left out", lines_ - limits::hook_lines_max));
    }
    return fmt::format("{}", fmt::join(tail_, "; "));
  }

 private:
  const std::function<void(std::string_view)>& line_;
  std::string text_;
  std::deque<std::string> tail_;
  size_t lines_ = 0;
};

// A child from its start to its end. It stays unreaped until all signals are sent, so that the
// number of its process group cannot be another's.
class Child {
 public:
  Child(pid_t pid, Fd exited, Fd output, const HookProgram& program, const Clock& clock,
        OutputLines& lines)
      : pid_(pid),
        exited_(std::move(exited)),
        output_(std::move(output)),
        clock_(clock),
        grace_(program.grace),
        deadline_(clock.now() + program.timeout),
        lines_(lines) {}

  void watch(int stop_fd, HookResult& result) {
    while (!over()) {
      if (clock_.now() >= deadline_ && phase_ == Phase::running) {
        result.timed_out = true;
        next_phase(SIGTERM);
      } else if (clock_.now() >= deadline_) {
        next_phase(SIGKILL);
      } else if (wait(phase_ == Phase::running ? stop_fd : -1)) {
        result.stopped = true;
        next_phase(SIGTERM);
      }
    }
    if (phase_ != Phase::running) ::kill(-pid_, SIGKILL);  // who closed the pipe, and did not end
    for (size_t i = 0; output_.valid() && i < reads_at_end_max && read(); ++i) {
    }
    reap(result);
  }

 private:
  enum class Phase : uint8_t { running, asked, forced, given_up };

  [[nodiscard]] bool over() const {
    if (phase_ == Phase::running || phase_ == Phase::forced) return has_exited_;
    return phase_ == Phase::given_up || (has_exited_ && !output_.valid());
  }
  void next_phase(int signal) {
    ::kill(-pid_, signal);
    deadline_ = clock_.now() + grace_;
    phase_ = static_cast<Phase>(static_cast<int>(phase_) + 1);
  }

  // True: `stop_fd` says so.
  bool wait(int stop_fd) {
    std::array<pollfd, 3> fds{{{.fd = has_exited_ ? -1 : exited_.get(), .events = POLLIN},
                               {.fd = output_.get(), .events = POLLIN},
                               {.fd = stop_fd, .events = POLLIN}}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - clock_.now());
    ::poll(fds.data(), fds.size(), std::max(0, static_cast<int>(left.count())));
    if (fds[1].revents != 0) static_cast<void>(read());
    has_exited_ = has_exited_ || fds[0].revents != 0;
    return fds[2].revents != 0;
  }
  bool read() {
    std::array<char, 4096> buffer{};
    const ssize_t bytes = ::read(output_.get(), buffer.data(), buffer.size());
    if (bytes > 0) lines_.add({buffer.data(), static_cast<size_t>(bytes)});
    if (bytes == 0) output_.reset();
    return bytes > 0;
  }
  // One that not even SIGKILL ends (it waits for a disk) is left behind as it is.
  void reap(HookResult& result) const {
    if (!has_exited_) return;
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    result.exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  const pid_t pid_;
  Fd exited_;
  Fd output_;
  const Clock& clock_;
  const Duration grace_;
  MonotonicTime deadline_;
  OutputLines& lines_;
  Phase phase_ = Phase::running;
  bool has_exited_ = false;
};

Result<Child> start(const HookProgram& program, const Clock& clock, OutputLines& lines) {
  const Fd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!nothing.valid()) return fail_errno("open /dev/null");
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return fail_errno("make a pipe");
  Fd output(pipe[0]);
  const Fd its_output(pipe[1]);
  if (::fcntl(output.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno("set up a pipe");
  const Result<pid_t> pid = io::start_program({.arguments = program.arguments,
                                               .environment = &program.environment,
                                               .directory = "/",
                                               .in = nothing.get(),
                                               .out = its_output.get(),
                                               .err = its_output.get()});
  if (!pid) {
    Error error = pid.error();
    if (error.sys_errno == ENOEXEC)
      error.message += "; a script begins with #! and its interpreter";
    return fail(std::move(error));
  }
  Fd exited(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)));
  if (!exited.valid()) {
    const Error error = sys_error("watch the process of " + escape(program.arguments[0]), errno);
    ::kill(-*pid, SIGKILL);
    ::waitpid(*pid, nullptr, 0);
    return fail(error);
  }
  return Child(*pid, std::move(exited), std::move(output), program, clock, lines);
}

}  // namespace

std::string HookResult::describe() const {
  if (error) return error->message;
  if (!ran) return "there is none";
  const std::string words = output_tail.empty() ? "" : ": " + output_tail;
  if (timed_out) return "did not end within its time limit (hook_timeout), and was ended" + words;
  if (stopped) return "was ended because repl ends" + words;
  return fmt::format("exited with status {}{}", exit_status, words);
}

Status check_hook_program(const std::string& path) {
  std::error_code code;
  const std::filesystem::path real = std::filesystem::canonical(path, code);
  if (code) {
    Error error = sys_error("find " + escape(path), code.value());
    error.message += "; install it, or take it out of the configuration";
    return fail(std::move(error));
  }
  struct stat stat{};
  if (::stat(real.c_str(), &stat) != 0) return fail_errno("look at " + escape(path));
  if (!S_ISREG(stat.st_mode)) return refuse(path, "it is not a file");
  if (!trusted_owner(stat)) {
    return refuse(path, "its owner is neither root nor the user that runs repl; chown it");
  }
  if (others_write(stat)) {
    return refuse(path, "others than its owner can write to it; chmod go-w");
  }
  if (::faccessat(AT_FDCWD, real.c_str(), X_OK, AT_EACCESS) != 0) {
    return refuse(path, "it cannot be executed; chmod +x");
  }
  if (Status s = check_directories(path, real.parent_path()); !s) return s;
  return check_directories(path, std::filesystem::path(path).parent_path());
}

HookResult run_hook_program(const HookProgram& program, const Clock& clock, int stop_fd,
                            const std::function<void(std::string_view)>& line) {
  HookResult result;
  OutputLines lines(line);
  Status usable = check_hook_program(program.arguments[0]);
  Result<Child> child = usable ? start(program, clock, lines) : fail(usable.error());
  if (!child) {
    result.error = child.error();
    return result;
  }
  result.ran = true;
  child->watch(stop_fd, result);
  result.output_tail = lines.finish();
  return result;
}

}  // namespace repl::cli
