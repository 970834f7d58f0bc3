// fanotify_watcher.h: Watcher over fanotify, with one filesystem mark or a mark per directory.
//
// Records name directories by handle; HandleCache turns them into ids. Nothing is ever opened to
// find out what an event means (its directory may be dead by then), except where an unknown
// filesystem hides the inode number.
//
// Thread: as watcher.h says. Sources: fanotify(7), fanotify_init(2), fanotify_mark(2); FAN_RENAME
// and target ids from Linux 5.17 (used where they exist), names from 5.9.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/watch/fanotify_decode.h"
#include "engine/watch/handle_cache.h"
#include "engine/watch/handle_inode.h"
#include "engine/watch/root_watch.h"
#include "engine/watch/watcher.h"

namespace repl::watch {

class FanotifyWatcher final : public Watcher {
 public:
  // `mode` is one of the two of fanotify. `unsupported` or the errno of the mark where it cannot be
  // had.
  [[nodiscard]] static Result<std::unique_ptr<FanotifyWatcher>> open(Mode mode, int root_fd,
                                                                     const HandleResolver& resolver,
                                                                     bool bounded);

  [[nodiscard]] Mode mode() const override { return mode_; }
  [[nodiscard]] int event_fd() const override { return root_.event_fd(); }
  [[nodiscard]] Status add(DirId dir, int dir_fd, std::string_view handle) override;
  void remove(DirId dir) override;
  void ignore(int dir_fd) override;
  [[nodiscard]] Result<Drained> drain(size_t bytes_max) override;

 private:
  FanotifyWatcher(Mode mode, Fd group, RootWatch root, std::string_view root_handle,
                  const HandleResolver& resolver);
  [[nodiscard]] Status mark_root();
  // Each returns false for what is not of this tree.
  bool translate(const FanotifyEvent& event, Drained& out);
  bool hint_place(const DirAndName& place, uint32_t bits, const FanotifyEvent& event, Drained& out);
  bool hint_object(uint32_t bits, const FanotifyEvent& event, Drained& out);
  void translate_buffer(std::string_view buffer, Drained& out);

  const Mode mode_;
  const HandleResolver& resolver_;
  Fd group_;
  RootWatch root_;
  HandleInode inodes_;
  HandleCache cache_;
  uint64_t event_mask_ = 0;  // what this kernel and filesystem take
  std::unique_ptr<char[]> buffer_;
};

}  // namespace repl::watch
