// choose.cc: which of the three ways to watch a tree, and why.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/fanotify.h>

#include <array>
#include <climits>
#include <string>

#include "engine/base/escape.h"
#include "engine/watch/fanotify_watcher.h"
#include "engine/watch/inotify_watcher.h"
#include "engine/watch/nfs_exports.h"
#include "engine/watch/root_watch.h"
#include "engine/watch/watcher.h"

namespace repl::watch {

namespace {

constexpr const char* etab_path = "/var/lib/nfs/etab";
constexpr size_t etab_bytes_max = 1 << 20;

class NoDirectories final : public HandleResolver {
 public:
  [[nodiscard]] std::optional<DirId> dir_of(std::string_view) const override {
    return std::nullopt;
  }
};

Result<std::unique_ptr<Watcher>> open_mode(Mode mode, int root_fd, const HandleResolver& resolver,
                                           bool bounded) {
  if (mode == Mode::inotify) return InotifyWatcher::open(root_fd);
  return FanotifyWatcher::open(mode, root_fd, resolver, bounded);
}

// The right to an unlimited queue is the right that fanotify is worth having with: without it
// inotify does as well, on more filesystems.
bool has_fanotify_rights() {
  const Fd fd(fanotify_init(
      FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS | FAN_REPORT_FID,
      O_RDONLY | O_CLOEXEC));
  return fd.valid() || errno != EPERM;
}

bool root_is_exported(int root_fd) {
  std::array<char, PATH_MAX> root;
  const ssize_t size =
      readlink(fmt::format("/proc/self/fd/{}", root_fd).c_str(), root.data(), root.size());
  const Fd fd(::open(etab_path, O_RDONLY | O_CLOEXEC));
  if (size <= 0 || !fd.valid()) return false;
  std::string text(etab_bytes_max, '\0');
  const ssize_t n = ::read(fd.get(), text.data(), text.size());
  return n > 0 && is_exported({text.data(), static_cast<size_t>(n)},
                              {root.data(), static_cast<size_t>(size)});
}

struct Plan {
  std::vector<Mode> modes;  // best first; inotify last
  std::string reason;       // why the first is the best
};

Plan make_plan(int root_fd, bool exported) {
  if (!has_fanotify_rights()) return {{Mode::inotify}, "fanotify needs CAP_SYS_ADMIN"};
  if (exported) {
    return {{Mode::fanotify_filesystem, Mode::fanotify_directories, Mode::inotify},
            "the tree is exported over NFS, which only a filesystem mark sees completely"};
  }
  const Result<RootWatch> root = RootWatch::open(root_fd);
  if (root && root->is_filesystem_root()) {
    return {{Mode::fanotify_filesystem, Mode::fanotify_directories, Mode::inotify},
            "the tree is a whole filesystem"};
  }
  return {{Mode::fanotify_directories, Mode::inotify}, "the tree is a part of its filesystem"};
}

}  // namespace

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::fanotify_filesystem:
      return "fanotify-filesystem";
    case Mode::fanotify_directories:
      return "fanotify-directories";
    case Mode::inotify:
      return "inotify";
  }
  return "unknown";
}

Result<Opened> open_watcher(int root_fd, const HandleResolver& resolver,
                            const WatcherOptions& options, Log& log) {
  const bool exported = root_is_exported(root_fd);
  Plan plan = options.mode ? Plan{{*options.mode}, "as configured"} : make_plan(root_fd, exported);
  std::string refused;
  Error last;
  for (const Mode mode : plan.modes) {
    Result<std::unique_ptr<Watcher>> watcher = open_mode(mode, root_fd, resolver, options.bounded);
    if (!watcher) {
      last = std::move(watcher.error());
      refused +=
          fmt::format("{}{}: {}", refused.empty() ? "" : "; ", to_string(mode), last.message);
      continue;
    }
    if (exported && mode != Mode::fanotify_filesystem) {
      log.warn(
          "the tree is exported over NFS, and {} does not see all that is written through it; "
          "such changes are found by scans only",
          to_string(mode));
    }
    return Opened{std::move(*watcher),
                  refused.empty() ? plan.reason : plan.reason + ", but " + refused};
  }
  last.message =
      fmt::format("the tree cannot be watched ({}): {}{}", plan.reason, refused,
                  options.mode ? "; leave the watch mode to repl, or choose another" : "");
  return fail(std::move(last));
}

std::vector<Capability> probe(int root_fd) {
  const NoDirectories nothing;
  std::vector<Capability> found;
  for (const Mode mode : {Mode::fanotify_filesystem, Mode::fanotify_directories, Mode::inotify}) {
    const auto watcher = open_mode(mode, root_fd, nothing, false);
    found.push_back({mode, watcher.has_value(), watcher ? std::string() : watcher.error().message});
  }
  return found;
}

}  // namespace repl::watch
