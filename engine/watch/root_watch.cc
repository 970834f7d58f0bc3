#include "engine/watch/root_watch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <utility>

namespace repl::watch {

namespace {

constexpr const char* mountinfo_path = "/proc/self/mountinfo";

// Where the descriptor's directory is now; empty if it has no name.
std::string path_of(int fd) {
  std::array<char, PATH_MAX> path;
  const ssize_t size =
      ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), path.data(), path.size());
  return size <= 0 ? std::string() : std::string(path.data(), static_cast<size_t>(size));
}

bool poll_now(int fd, short events) {
  pollfd entry{.fd = fd, .events = events, .revents = 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (events | POLLERR)) != 0;
}

Status epoll_add(int epoll, int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("wait for kernel events");
  return {};
}

}  // namespace

bool is_readable(int fd) { return poll_now(fd, POLLIN); }

std::string covers_below(const io::MountTable& mounts, std::string_view root) {
  std::string covers;
  for (const io::Mount& mount : mounts) {
    std::string_view rest;
    if (io::path_below(mount.point, root, rest) && !rest.empty())
      covers += fmt::format("{} {}\n", mount.id, mount.point);
  }
  return covers;
}

Result<RootWatch> RootWatch::open(int root_fd) {
  RootWatch watch;
  watch.root_ = Fd(fcntl(root_fd, F_DUPFD_CLOEXEC, 0));
  if (!watch.root_.valid()) return fail_errno("keep the root open");
  watch.epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!watch.epoll_.valid()) return fail_errno("epoll_create1");

  struct statx status{};
  if (statx(root_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) != 0) return fail_errno("stat root");
  watch.is_mount_root_ = (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  if ((status.stx_mask & STATX_MNT_ID) == 0) return watch;
  watch.mount_id_ = status.stx_mnt_id;

  // Opened before the text is read: a change between the two is seen.
  watch.mounts_wake_ = Fd(::open(mountinfo_path, O_RDONLY | O_CLOEXEC));
  watch.mounts_check_ = Fd(::open(mountinfo_path, O_RDONLY | O_CLOEXEC));
  const Result<io::MountTable> mounts = io::read_mounts("/proc/self");
  if (!watch.mounts_wake_.valid() || !watch.mounts_check_.valid() || !mounts) return watch;
  const io::Mount* mount = io::find_mount(*mounts, watch.mount_id_);
  if (mount == nullptr) return watch;
  watch.mount_ = *mount;
  watch.covers_ = covers_below(*mounts, path_of(root_fd));
  if (Status s = epoll_add(watch.epoll_.get(), watch.mounts_wake_.get(), EPOLLPRI); !s) {
    return fail(std::move(s.error()));
  }
  return watch;
}

Status RootWatch::attach(int queue_fd) { return epoll_add(epoll_.get(), queue_fd, EPOLLIN); }

bool RootWatch::gone() {
  struct stat status{};
  if (fstat(root_.get(), &status) != 0 || status.st_nlink == 0) return true;
  if (!mount_ || !poll_now(mounts_check_.get(), POLLPRI)) return false;
  const Result<io::MountTable> mounts = io::read_mounts("/proc/self");
  if (!mounts) return false;
  const io::Mount* now = io::find_mount(*mounts, mount_id_);
  std::string covers = covers_below(*mounts, path_of(root_.get()));
  covers_changed_ = covers_changed_ || covers != covers_;
  covers_ = std::move(covers);
  // Mount ids are given out again: another device under the same id is another mount.
  return now == nullptr || now->device != mount_->device;
}

}  // namespace repl::watch
