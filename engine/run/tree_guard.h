// tree_guard.h: the guard of a tree, as its engine wants it: closed (read-only for everybody but
// repl) while this node is a secondary, open otherwise.
//
// A guard that could not be closed is tried again, and says who is in the way: replication goes on,
// and what that one writes is drift. Only a switchover wants it at once or not at all.
//
// Thread: the engine's; to name the holders takes some 100 ms (mount_holders.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/base/log.h"
#include "engine/io/guard_mount.h"

namespace repl::run {

class TreeGuard {
 public:
  TreeGuard(const Clock& clock, Log& log) : clock_(clock), log_(log) {}

  // Once; without it the tree has no guard, and all that follows does nothing. Returns the root for
  // the engine's work.
  [[nodiscard]] Result<Fd> open(const std::string& tree, const std::string& root);
  // The root as everybody sees it; nothing without a guard.
  [[nodiscard]] std::optional<int> seen() const;

  // What it is to be from now on; cheap if that is what it was.
  void want(bool closed);
  // The error says who keeps it open. `unguarded`: that somebody is beyond its reach does not
  // matter.
  [[nodiscard]] Status close_now(bool unguarded);
  // Again, what has failed.
  void step();
  [[nodiscard]] std::optional<MonotonicTime> deadline() const { return retry_at_; }

  // "off", "writable", "read-only": as the kernel says.
  [[nodiscard]] std::string_view state() const;
  // Why it is not as it is to be; empty: it is.
  [[nodiscard]] const std::string& fault() const { return fault_; }

 private:
  void set();
  [[nodiscard]] std::string why(const Error& error) const;

  const Clock& clock_;
  Log& log_;
  std::string tree_;
  std::optional<io::GuardMount> mount_;
  std::optional<bool> closed_;  // as wanted
  std::optional<MonotonicTime> retry_at_;
  std::string fault_;
};

}  // namespace repl::run
