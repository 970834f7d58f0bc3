#include "cli/replace_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "engine/base/escape.h"
#include "engine/base/fd.h"

namespace repl::cli {
namespace {

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

Status write_whole(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("write");
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status fill(int fd, std::string_view text, mode_t mode) {
  if (Status s = write_whole(fd, text); !s) return s;
  if (::fchmod(fd, mode) != 0) return fail_errno("set the mode");
  if (::fsync(fd) != 0) return fail_errno("sync");
  return {};
}

}  // namespace

Status can_replace_file(const std::string& path) {
  struct stat st{};
  if (::lstat(path.c_str(), &st) == 0) {
    if (!S_ISREG(st.st_mode)) {
      return fail(ErrorCode::invalid, escape(path) + " is no regular file; name another");
    }
  } else if (errno != ENOENT) {
    return fail_errno("look at " + escape(path));
  }
  const std::string directory = directory_of(path);
  if (::access(directory.c_str(), W_OK | X_OK) != 0) {
    return fail_errno("write a file in " + escape(directory));
  }
  return {};
}

Status replace_file(const std::string& path, std::string_view text, mode_t mode) {
  if (Status can = can_replace_file(path); !can) return can;
  std::string beside = path + ".XXXXXX";
  const Fd file(::mkostemp(beside.data(), O_CLOEXEC));
  if (!file.valid()) return fail_errno("create " + escape(beside));
  Status done = fill(file.get(), text, mode);
  if (done && ::rename(beside.c_str(), path.c_str()) != 0) done = fail_errno("rename");
  if (!done) {
    ::unlink(beside.c_str());
    done.error().message = escape(path) + ": " + done.error().message;
    return done;
  }
  const Fd directory(::open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) {
    return fail_errno("sync the directory of " + escape(path));
  }
  return {};
}

}  // namespace repl::cli
