#include "engine/run/tree_guard.h"

#include <cerrno>
#include <chrono>

#include "engine/base/limits.h"
#include "engine/io/mount_holders.h"

namespace repl::run {

Result<Fd> TreeGuard::open(const std::string& tree, const std::string& root) {
  Result<io::GuardMount> mount = io::GuardMount::open(root);
  if (!mount) return fail(mount.error());
  Result<Fd> work = mount->beneath().copy_root();
  if (!work) return fail(work.error());
  tree_ = tree;
  mount_ = std::move(*mount);
  return work;
}

std::optional<int> TreeGuard::seen() const {
  return mount_ ? std::optional(mount_->seen()) : std::nullopt;
}

void TreeGuard::want(bool closed) {
  if (!mount_ || closed_ == closed) return;
  closed_ = closed;
  fault_.clear();
  set();
}

void TreeGuard::step() {
  if (retry_at_ && clock_.now() >= *retry_at_) set();
}

void TreeGuard::set() {
  retry_at_.reset();
  const Status done = mount_->set_read_only(*closed_);
  if (done) {
    fault_.clear();
    log_.info("{}: the guard is {}", tree_,
              *closed_ ? "closed: the tree is read-only here" : "open: the tree is writable here");
    return;
  }
  retry_at_ = clock_.now() + std::chrono::milliseconds(limits::guard_retry_ms);
  if (!fault_.empty()) return;
  fault_ = why(done.error()) + "; it is tried again";
  log_.warn("{}: {}", tree_, fault_);
}

Status TreeGuard::close_now(bool unguarded) {
  if (!mount_) return {};
  closed_ = true;
  retry_at_.reset();
  fault_.clear();
  if (Status s = mount_->set_read_only(true); !s) {
    Error error = s.error();
    error.message = why(error);
    return fail(std::move(error));
  }
  log_.info("{}: the guard is closed: the tree is read-only here", tree_);
  if (unguarded) return {};
  const Result<io::MountHolders> holders = io::find_mount_holders(mount_->id());
  if (!holders) return fail(holders.error());
  if (holders->outside.count > 0) {
    return fail(ErrorCode::changed,
                "the guard does not reach " + io::describe(holders->outside) +
                    " open from before it, or through another mount: end that, or use --unguarded, "
                    "and what is written so afterwards is drift");
  }
  if (holders->unreadable > 0) {
    log_.warn(
        "{}: {} processes cannot be looked at for files that the guard does not reach: "
        "CAP_SYS_PTRACE is missing",
        tree_, holders->unreadable);
  }
  return {};
}

std::string TreeGuard::why(const Error& error) const {
  if (error.sys_errno != EBUSY) return error.message;
  const Result<io::MountHolders> holders = io::find_mount_holders(mount_->id());
  if (!holders) return error.message + "; " + holders.error().message;
  if (holders->writers.count == 0) {
    return "somebody has a file of the tree open for writing who is in no process that can be seen "
           "here (an NFS server, a loop device, or CAP_SYS_PTRACE is missing)";
  }
  return io::describe(holders->writers) + " open for writing: end that first";
}

std::string_view TreeGuard::state() const {
  if (!mount_) return "off";
  const Result<bool> read_only = mount_->is_read_only();
  return read_only && *read_only ? "read-only" : "writable";
}

}  // namespace repl::run
