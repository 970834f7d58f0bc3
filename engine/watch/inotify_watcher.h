// inotify_watcher.h: Watcher over inotify, one watch per directory: where fanotify cannot be had.
//
// What it cannot tell: the inode of a child, and the other end of a rename into or out of the tree.
// Needs /proc: inotify takes paths only, so directories are named by descriptor, through
// /proc/self/fd.
//
// Thread: as watcher.h says. Source: inotify(7).
#pragma once

#include <memory>
#include <mutex>

#include "engine/watch/inotify_table.h"
#include "engine/watch/root_watch.h"
#include "engine/watch/watcher.h"

namespace repl::watch {

class InotifyWatcher final : public Watcher {
 public:
  [[nodiscard]] static Result<std::unique_ptr<InotifyWatcher>> open(int root_fd);

  [[nodiscard]] Mode mode() const override { return Mode::inotify; }
  [[nodiscard]] int event_fd() const override { return root_.event_fd(); }
  [[nodiscard]] Status add(DirId dir, int dir_fd, std::string_view handle) override;
  void remove(DirId dir) override;
  void ignore(int dir_fd) override;
  [[nodiscard]] Result<Drained> drain(size_t bytes_max) override;

  [[nodiscard]] size_t watches() const;

 private:
  InotifyWatcher(Fd queue, RootWatch root);

  Fd queue_;
  RootWatch root_;
  std::unique_ptr<char[]> buffer_;
  mutable std::mutex mutex_;
  InotifyTable table_;
};

}  // namespace repl::watch
