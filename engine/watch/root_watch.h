// root_watch.h: what no event mark tells about the root itself, and the one descriptor to wait on.
//
// A root that somebody holds open raises no DELETE_SELF when it is removed (the inode lives on,
// with no links), and a lazy unmount raises nothing at all. So the root's link count is read at
// every drain, and /proc/self/mountinfo, which polls as changed when any mount comes or goes, is
// waited on beside the kernel's event queue. The same text tells when a filesystem covers a part of
// the tree, or no longer does: what happened beneath it meanwhile may have raised no event.
//
// Thread: owner only. Sources: proc_pid_mountinfo(5), statx(2); Linux 5.8 for the mount id.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/io/mount_table.h"

namespace repl::watch {

// The mounts that lie below the directory, one "id place" a line: to be compared with those of
// before.
[[nodiscard]] std::string covers_below(const io::MountTable& mounts, std::string_view root);

class RootWatch {
 public:
  // Keeps its own descriptor of the root.
  [[nodiscard]] static Result<RootWatch> open(int root_fd);

  // `queue_fd` (fanotify, inotify) becomes part of what event_fd() waits for.
  [[nodiscard]] Status attach(int queue_fd);
  [[nodiscard]] int event_fd() const { return epoll_.get(); }
  [[nodiscard]] int root_fd() const { return root_.get(); }

  // Deleted or unmounted. Two system calls when nothing happened.
  [[nodiscard]] bool gone();
  // Since the last call gone() has seen a mount come or go below the root.
  [[nodiscard]] bool take_covers_changed() { return std::exchange(covers_changed_, false); }

  // Another filesystem (or bind mount) begins at the root: it cannot be removed, nor moved by
  // rename.
  [[nodiscard]] bool is_mount_root() const { return is_mount_root_; }
  // The whole filesystem is the tree.
  [[nodiscard]] bool is_filesystem_root() const {
    return is_mount_root_ && mount_ && mount_->root == "/";
  }

 private:
  Fd root_;
  Fd epoll_;
  // RACE: poll(2) of a mountinfo descriptor consumes the news. Whoever waits on event_fd() polls
  // the first; the second is only ours.
  Fd mounts_wake_;
  Fd mounts_check_;
  uint64_t mount_id_ = 0;
  // As it was at the start; none: the mount is outside our view, and not watched.
  std::optional<io::Mount> mount_;
  std::string covers_;
  bool covers_changed_ = false;
  bool is_mount_root_ = false;
};

// True if bytes or events wait in `fd`.
[[nodiscard]] bool is_readable(int fd);

}  // namespace repl::watch
