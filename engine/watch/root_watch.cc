#include "engine/watch/root_watch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <climits>

namespace repl::watch {

namespace {

constexpr const char* mountinfo_path = "/proc/self/mountinfo";

Result<std::string> read_mountinfo() {
  const Fd fd(::open(mountinfo_path, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno("open /proc/self/mountinfo");
  std::string text;
  std::array<char, 16384> chunk;
  for (;;) {
    const ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
    if (n == 0) return text;
    if (n > 0) {
      text.append(chunk.data(), static_cast<size_t>(n));
    } else if (errno != EINTR) {
      return fail_errno("read /proc/self/mountinfo");
    }
  }
}

std::string_view take_word(std::string_view& line) {
  const size_t end = line.find(' ');
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return word;
}

// As mountinfo has it: octal for what would end a word.
std::string escape_mount_point(std::string_view path) {
  std::string text;
  for (const char c : path) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\')
      text += fmt::format("\\{:03o}", static_cast<unsigned>(c));
    else
      text += c;
  }
  return text;
}

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

MountLine find_mount(std::string_view mountinfo, uint64_t mount_id) {
  while (!mountinfo.empty()) {
    const size_t end = mountinfo.find('\n');
    std::string_view line = mountinfo.substr(0, end);
    mountinfo.remove_prefix(end == std::string_view::npos ? mountinfo.size() : end + 1);
    const std::string_view id_text = take_word(line);
    uint64_t id = 0;
    const auto [stop, error] = std::from_chars(id_text.data(), id_text.data() + id_text.size(), id);
    if (error != std::errc{} || stop != id_text.data() + id_text.size() || id != mount_id) continue;
    take_word(line);  // the parent: it changes when the mount is moved, and the tree stays
    MountLine found;
    found.found = true;
    found.device = take_word(line);
    found.root = take_word(line);
    return found;
  }
  return {};
}

std::string find_covers(std::string_view mountinfo, uint64_t parent, std::string_view root) {
  const std::string below = escape_mount_point(root) + (root.ends_with('/') ? "" : "/");
  const std::string parent_text = fmt::format("{}", parent);
  std::string covers;
  while (!mountinfo.empty()) {
    const size_t end = mountinfo.find('\n');
    std::string_view line = mountinfo.substr(0, end);
    mountinfo.remove_prefix(end == std::string_view::npos ? mountinfo.size() : end + 1);
    const std::string_view id = take_word(line);
    if (take_word(line) != parent_text) continue;
    take_word(line);  // device
    take_word(line);  // the part of the filesystem
    const std::string_view at = take_word(line);
    if (at.starts_with(below)) covers += fmt::format("{} {}\n", id, at);
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
  const Result<std::string> mounts = read_mountinfo();
  if (!watch.mounts_wake_.valid() || !watch.mounts_check_.valid() || !mounts) return watch;
  watch.mount_ = find_mount(*mounts, watch.mount_id_);
  if (!watch.mount_.found) return watch;
  watch.covers_ = find_covers(*mounts, watch.mount_id_, path_of(root_fd));
  if (Status s = epoll_add(watch.epoll_.get(), watch.mounts_wake_.get(), EPOLLPRI); !s) {
    return fail(std::move(s.error()));
  }
  return watch;
}

Status RootWatch::attach(int queue_fd) { return epoll_add(epoll_.get(), queue_fd, EPOLLIN); }

bool RootWatch::gone() {
  struct stat status{};
  if (fstat(root_.get(), &status) != 0 || status.st_nlink == 0) return true;
  if (!mount_.found || !poll_now(mounts_check_.get(), POLLPRI)) return false;
  const Result<std::string> mounts = read_mountinfo();
  if (!mounts) return false;
  const MountLine now = find_mount(*mounts, mount_id_);
  std::string covers = find_covers(*mounts, mount_id_, path_of(root_.get()));
  if (covers != covers_) covers_changed_ = true;
  covers_ = std::move(covers);
  // Mount ids are given out again: another device under the same id is another mount.
  return !now.found || now.device != mount_.device;
}

}  // namespace repl::watch
