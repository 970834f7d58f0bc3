// guard_mount.h: the two mounts of a guarded tree. One is at its root, where everybody sees the
// tree, and can be set read-only; the other is repl's own, beneath it, and always writable.
//
// The first is the mount whose root the tree's root is; if there is none, the root is bound over
// itself. Both are found again after a crash: the second is a detached clone that is made anew
// without the read-only flag. A mount inside the tree is not part of either: it stays what it is
// for everybody, and repl sees the directory that it covers.
//
// Invariant: nothing here opens a file for writing through the first mount: that would keep it from
// becoming read-only.
//
// Thread: any, one at a time. Sources: open_tree(2), move_mount(2) (Linux 5.2), mount_setattr(2)
// (5.12); all need CAP_SYS_ADMIN. What is outside: mount_holders.h.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/error.h"
#include "engine/base/fd.h"

namespace repl::io {

// A tree as it is beneath its guard.
class Beneath {
 public:
  // `root` is any directory, seen through the mount that is to be cloned.
  [[nodiscard]] static Result<Beneath> clone(int root);

  // For everything that is done to the tree; usable while this object lives.
  [[nodiscard]] int root() const { return root_.get(); }
  [[nodiscard]] Result<Fd> copy_root() const;

 private:
  Fd tree_;  // the detached mount goes with it
  Fd root_;
};

class GuardMount {
 public:
  // `root` is absolute. Nothing is changed but what is said above.
  [[nodiscard]] static Result<GuardMount> open(const std::string& root);

  [[nodiscard]] const Beneath& beneath() const { return beneath_; }
  // The root as everybody sees it; not for work.
  [[nodiscard]] int seen() const { return seen_.get(); }
  [[nodiscard]] uint64_t id() const { return id_; }  // as STATX_MNT_ID

  // Atomic. sys_errno EBUSY: somebody has a file open for writing, and nothing was changed.
  [[nodiscard]] Status set_read_only(bool read_only);
  // As it is now, whoever made it so.
  [[nodiscard]] Result<bool> is_read_only() const;

 private:
  Fd seen_;
  Beneath beneath_;
  uint64_t id_ = 0;
};

// Why this process cannot guard a tree, and what would help; empty: it can.
[[nodiscard]] std::string guard_refusal();

}  // namespace repl::io
