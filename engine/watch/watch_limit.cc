#include "engine/watch/watch_limit.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "engine/base/fd.h"

namespace repl::watch {

namespace {

struct Names {
  const char* what;
  const char* system;
  const char* user_namespace;
  uint64_t enough;  // for most machines
};

Names names_of(WatchLimit limit) {
  switch (limit) {
    case WatchLimit::inotify_watches:
      return {"inotify watches", "fs.inotify.max_user_watches", "user.max_inotify_watches",
              1'048'576};
    case WatchLimit::inotify_instances:
      return {"inotify instances", "fs.inotify.max_user_instances", "user.max_inotify_instances",
              1'024};
    case WatchLimit::fanotify_marks:
      return {"fanotify marks", "fs.fanotify.max_user_marks", "user.max_fanotify_marks", 1'048'576};
    case WatchLimit::fanotify_groups:
      return {"fanotify groups", "fs.fanotify.max_user_groups", "user.max_fanotify_groups", 1'024};
  }
  return {};
}

}  // namespace

uint64_t read_sysctl(std::string_view name) {
  std::string path = "/proc/sys/" + std::string(name);
  std::replace(path.begin() + 10, path.end(), '.', '/');
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[32];
  const ssize_t n = fd.valid() ? ::read(fd.get(), text, sizeof text) : -1;
  uint64_t value = 0;
  if (n > 0) std::from_chars(text, text + n, value);
  return value;
}

Error watch_limit_error(WatchLimit limit) {
  const Names names = names_of(limit);
  const uint64_t system = read_sysctl(names.system);
  const uint64_t own = read_sysctl(names.user_namespace);
  const bool own_is_smaller = own != 0 && (system == 0 || own < system);
  const char* name = own_is_smaller ? names.user_namespace : names.system;
  const uint64_t value = own_is_smaller ? own : system;
  const uint64_t better = std::max(names.enough, value * 2);
  return make_error(ErrorCode::limit,
                    fmt::format("the kernel gives no more {0}: {1} is {2}, and all are in use; run "
                                "`sysctl -w {1}={3}` and keep it in /etc/sysctl.d/",
                                names.what, name, value, better),
                    Remedy::hold);
}

}  // namespace repl::watch
