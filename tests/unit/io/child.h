// child.h: a process beside the test, for what is told of others only; and writes by path.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>

#include "engine/base/fd.h"

namespace repl::test {

// A process that has done something and stays until this object ends.
class Child {
 public:
  explicit Child(const std::function<bool()>& begin) {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    Fd out(ends[1]);
    const Fd in(ends[0]);
    pid_ = ::fork();
    if (pid_ == 0) {
      if (!begin() || ::write(out.get(), "x", 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    out.reset();  // so that a child that fails ends the reading
    char byte = 0;
    began_ = ::read(in.get(), &byte, 1) == 1;
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool began() const { return began_; }

 private:
  pid_t pid_ = -1;
  bool began_ = false;
};

inline int open_to_write(const std::string& path) {
  return ::open(path.c_str(), O_RDWR | O_CREAT, 0644);
}

// errno of a write by path; 0: it went well.
inline int try_write(const std::string& path) {
  const Fd fd(open_to_write(path));
  return fd.valid() ? 0 : errno;
}

}  // namespace repl::test
