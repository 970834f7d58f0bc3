#include "engine/watch/inotify_watcher.h"

#include <fmt/core.h>
#include <sys/inotify.h>

#include <cerrno>

#include "engine/base/limits.h"
#include "engine/watch/watch_limit.h"

namespace repl::watch {

namespace {

// Not IN_EXCL_UNLINK: a write to an unlinked name may be to a file with other names in the tree.
constexpr uint32_t event_mask = IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB |
                                IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
constexpr uint32_t root_mask = IN_DELETE_SELF | IN_MOVE_SELF;

// The link in /proc leads to the very directory that the descriptor holds, wherever it is by now;
// so it must be followed (no IN_DONT_FOLLOW), and nobody can put another thing in its way.
std::string path_of(int dir_fd, const char* suffix = "") {
  return fmt::format("/proc/self/fd/{}{}", dir_fd, suffix);
}

}  // namespace

InotifyWatcher::InotifyWatcher(Fd queue, RootWatch root)
    : queue_(std::move(queue)),
      root_(std::move(root)),
      buffer_(std::make_unique<char[]>(limits::watch_read_bytes)) {}

Result<std::unique_ptr<InotifyWatcher>> InotifyWatcher::open(int root_fd) {
  Fd queue(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!queue.valid()) {
    if (errno == EMFILE) return fail(watch_limit_error(WatchLimit::inotify_instances));
    return fail_errno("inotify_init1");
  }
  Result<RootWatch> root = RootWatch::open(root_fd);
  if (!root) return fail(std::move(root.error()));
  if (Status s = root->attach(queue.get()); !s) return fail(std::move(s.error()));
  std::unique_ptr<InotifyWatcher> watcher(new InotifyWatcher(std::move(queue), std::move(*root)));
  // The removal of a root that is held open is told to its parent only; RootWatch looks when woken.
  // May fail (no right to the parent): then the removal is seen at the next event or when the root
  // is closed.
  if (!watcher->root_.is_mount_root()) {
    const std::string parent = path_of(watcher->root_.root_fd(), "/..");
    (void)inotify_add_watch(watcher->queue_.get(), parent.c_str(), IN_DELETE | IN_ONLYDIR);
  }
  return watcher;
}

Status InotifyWatcher::add(DirId dir, int dir_fd, std::string_view /*handle*/) {
  const uint32_t mask = dir == root_dir ? event_mask | root_mask : event_mask;
  // RACE: the lock spans both steps, so that no record of the new watch is read before the table
  // knows it.
  const std::lock_guard lock(mutex_);
  const int wd = inotify_add_watch(queue_.get(), path_of(dir_fd).c_str(), mask);
  if (wd < 0) {
    if (errno == ENOSPC) return fail(watch_limit_error(WatchLimit::inotify_watches));
    return fail_errno("watch a directory (inotify)");
  }
  if (const std::optional<int> displaced = table_.set(wd, dir)) {
    (void)inotify_rm_watch(queue_.get(), *displaced);
  }
  return {};
}

void InotifyWatcher::remove(DirId dir) {
  const std::lock_guard lock(mutex_);
  // EINVAL: the directory is gone, and its watch with it.
  if (const std::optional<int> wd = table_.remove(dir)) (void)inotify_rm_watch(queue_.get(), *wd);
}

void InotifyWatcher::ignore(int /*dir_fd*/) {}  // what is not added is not watched

size_t InotifyWatcher::watches() const {
  const std::lock_guard lock(mutex_);
  return table_.size();
}

Result<Drained> InotifyWatcher::drain(size_t bytes_max) {
  const auto end_watch = [this](int wd) { return inotify_rm_watch(queue_.get(), wd) == 0; };
  Drained out;
  size_t total = 0;
  for (;;) {
    const ssize_t n = ::read(queue_.get(), buffer_.get(), limits::watch_read_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return fail_errno("read inotify events");
    if (n <= 0) break;
    {
      const std::lock_guard lock(mutex_);
      table_.translate({buffer_.get(), static_cast<size_t>(n)}, end_watch, out);
    }
    total += static_cast<size_t>(n);
    if (total >= bytes_max) {
      out.more = is_readable(queue_.get());
      break;
    }
  }
  if (root_.gone()) out.root_gone = true;
  if (root_.take_covers_changed())
    out.lost.push_back(
        {.reason = "a filesystem was mounted or unmounted below the root", .below = {}});
  return out;
}

}  // namespace repl::watch
