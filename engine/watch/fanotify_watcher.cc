#include "engine/watch/fanotify_watcher.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/fanotify.h>

#include <cerrno>

#include "engine/base/check.h"
#include "engine/base/limits.h"
#include "engine/io/fs_ops.h"
#include "engine/watch/hint_sink.h"
#include "engine/watch/watch_limit.h"

namespace repl::watch {

namespace {

constexpr uint64_t change_mask =
    FAN_CREATE | FAN_DELETE | FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB | FAN_ONDIR;
// With FAN_RENAME one record has both ends; before Linux 5.17 each end comes by itself.
constexpr uint64_t rename_mask = change_mask | FAN_RENAME;
constexpr uint64_t moved_mask = change_mask | FAN_MOVED_FROM | FAN_MOVED_TO;
// On the root alone: elsewhere the parent tells, and these would double the events of every rm -rf.
constexpr uint64_t self_mask = FAN_DELETE_SELF | FAN_MOVE_SELF | FAN_ONDIR;

// Marks the directory itself. A name relative to the descriptor, so that O_PATH descriptors do too.
int mark(int group, unsigned flags, uint64_t mask, int dir_fd, const char* name = ".") {
  return fanotify_mark(group, flags, mask, dir_fd, name);
}

Error mark_error(Mode mode, int error_number) {
  const bool filesystem = mode == Mode::fanotify_filesystem;
  switch (error_number) {
    case ENOSPC:
      return watch_limit_error(WatchLimit::fanotify_marks);
    case EXDEV:
      return make_error(ErrorCode::unsupported,
                        filesystem ? "a filesystem mark cannot be set inside a btrfs subvolume"
                                   : "this kernel cannot mark directories of a btrfs subvolume");
    case EOPNOTSUPP:
    case ENODEV:
      return make_error(ErrorCode::unsupported,
                        "this filesystem gives fanotify no file handles or no id of its own");
    case EINVAL:
      return make_error(ErrorCode::unsupported,
                        "this kernel's fanotify cannot report names (Linux 5.9)");
    case EPERM:
      return make_error(ErrorCode::not_permitted, filesystem
                                                      ? "a filesystem mark needs CAP_SYS_ADMIN"
                                                      : "the directory may not be marked");
    default:
      return sys_error("fanotify_mark", error_number);
  }
}

// The best group that this kernel and our rights give.
Result<Fd> open_group(bool bounded) {
  constexpr unsigned names = FAN_REPORT_DFID_NAME | FAN_REPORT_FID;
  constexpr unsigned common = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK;
  unsigned unlimited = bounded ? 0 : FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS;
  unsigned target = FAN_REPORT_TARGET_FID;
  for (;;) {
    const int fd = fanotify_init(common | names | unlimited | target, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) return Fd(fd);
    if (errno == EPERM && unlimited != 0) {
      unlimited = 0;
    } else if (errno == EINVAL && target != 0) {
      target = 0;
    } else if (errno == EINVAL || errno == ENOSYS) {
      return fail(ErrorCode::unsupported, "this kernel's fanotify cannot report names (Linux 5.9)");
    } else if (errno == EMFILE) {
      return fail(watch_limit_error(WatchLimit::fanotify_groups));
    } else {
      return fail_errno("fanotify_init");
    }
  }
}

// Some filesystems (overlayfs without nfs_export, Linux 6.6) give handles that only identify: then
// neither the inode behind a nameless record nor a mark to take away could be found. Without the
// right to try: true.
bool handles_open(int root_fd, std::string_view handle) {
  const Fd fd(open_handle(root_fd, handle));
  return fd.valid() || errno == EPERM;
}

uint32_t bits_of(uint64_t mask) {
  uint32_t bits = 0;
  if (mask & FAN_CREATE) bits |= hint_created;
  if (mask & FAN_DELETE) bits |= hint_removed;
  if (mask & FAN_MODIFY) bits |= hint_modified;
  if (mask & FAN_CLOSE_WRITE) bits |= hint_closed;
  if (mask & FAN_ATTRIB) bits |= hint_attributes;
  if (mask & FAN_MOVED_FROM) bits |= hint_moved | hint_removed;
  if (mask & FAN_MOVED_TO) bits |= hint_moved | hint_created;
  if (mask & FAN_ONDIR) bits |= hint_directory;
  return bits;
}

}  // namespace

FanotifyWatcher::FanotifyWatcher(Mode mode, Fd group, RootWatch root, std::string_view root_handle,
                                 const HandleResolver& resolver)
    : mode_(mode),
      resolver_(resolver),
      group_(std::move(group)),
      root_(std::move(root)),
      inodes_(root_.root_fd(), root_handle),
      // A directory mark is taken away by handle, so with those none may be forgotten.
      cache_(resolver,
             mode == Mode::fanotify_filesystem ? limits::watch_known_handles_max : SIZE_MAX,
             limits::watch_foreign_handles_max),
      buffer_(std::make_unique<char[]>(limits::watch_read_bytes)) {}

Result<std::unique_ptr<FanotifyWatcher>> FanotifyWatcher::open(Mode mode, int root_fd,
                                                               const HandleResolver& resolver,
                                                               bool bounded) {
  REPL_CHECK(mode != Mode::inotify);
  Result<Fd> group = open_group(bounded);
  if (!group) return fail(std::move(group.error()));
  Result<RootWatch> root = RootWatch::open(root_fd);
  if (!root) return fail(std::move(root.error()));
  const Result<std::string> handle = io::handle_of(root_fd);
  if (!handle || handle->empty() || !handles_open(root->root_fd(), *handle)) {
    return fail(ErrorCode::unsupported, "this filesystem has no file handles that can be opened");
  }
  std::unique_ptr<FanotifyWatcher> watcher(
      new FanotifyWatcher(mode, std::move(*group), std::move(*root), *handle, resolver));
  if (Status s = watcher->mark_root(); !s) return fail(std::move(s.error()));
  if (Status s = watcher->root_.attach(watcher->group_.get()); !s)
    return fail(std::move(s.error()));
  return watcher;
}

Status FanotifyWatcher::mark_root() {
  const bool filesystem = mode_ == Mode::fanotify_filesystem;
  const unsigned how = FAN_MARK_ADD | (filesystem ? FAN_MARK_FILESYSTEM : FAN_MARK_ONLYDIR);
  const uint64_t on_child = filesystem ? 0 : FAN_EVENT_ON_CHILD;
  for (const uint64_t mask : {rename_mask, moved_mask}) {
    event_mask_ = mask | on_child;
    if (mark(group_.get(), how, event_mask_, root_.root_fd()) == 0) {
      if (mark(group_.get(), FAN_MARK_ADD | FAN_MARK_ONLYDIR, self_mask, root_.root_fd()) != 0) {
        return fail(mark_error(mode_, errno));
      }
      // The removal of a root that is held open is told to its parent only; RootWatch looks when
      // woken. May fail (no right to the parent): then the removal is seen at the next event or
      // when the root is closed.
      if (!filesystem && !root_.is_mount_root()) {
        (void)mark(group_.get(), FAN_MARK_ADD | FAN_MARK_ONLYDIR, FAN_DELETE | FAN_ONDIR,
                   root_.root_fd(), "..");
      }
      return {};
    }
    if (errno != EINVAL) break;
  }
  return fail(mark_error(mode_, errno));
}

Status FanotifyWatcher::add(DirId dir, int dir_fd, std::string_view handle) {
  if (handle.empty()) {
    return fail(ErrorCode::unsupported, "a directory without a file handle cannot be watched",
                Remedy::hold);
  }
  if (mode_ == Mode::fanotify_directories &&
      mark(group_.get(), FAN_MARK_ADD | FAN_MARK_ONLYDIR, event_mask_, dir_fd) != 0) {
    return fail(mark_error(mode_, errno));
  }
  // RACE: an event between the mark and this line may have been drained and its handle stored as
  // foreign; add() takes that back, and what the event told is found by the listing that follows.
  cache_.add(handle, dir);
  return {};
}

void FanotifyWatcher::remove(DirId dir) {
  const std::optional<std::string> handle = cache_.remove(dir);
  if (!handle || mode_ != Mode::fanotify_directories) return;
  // A removed directory's mark went with it (ESTALE here). One that lives on, moved out or
  // excluded, is found by its handle just to take the mark off; without the right to, its events
  // are foreign from now on.
  const Fd fd(open_handle(root_.root_fd(), *handle));
  if (fd.valid()) {
    (void)mark(group_.get(), FAN_MARK_REMOVE | FAN_MARK_ONLYDIR, event_mask_, fd.get());
  }
}

void FanotifyWatcher::ignore(int dir_fd) {
  if (mode_ != Mode::fanotify_filesystem) return;  // without a mark there is nothing to ignore
  const uint64_t mask = event_mask_ | FAN_EVENT_ON_CHILD;
  if (mark(group_.get(), FAN_MARK_ADD | FAN_MARK_ONLYDIR | FAN_MARK_IGNORE_SURV, mask, dir_fd) ==
      0) {
    return;
  }
  // Before Linux 6.0. If it fails too, these events are foreign: some cost, no harm.
  constexpr unsigned old_style = FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY;
  (void)mark(group_.get(), FAN_MARK_ADD | FAN_MARK_ONLYDIR | old_style, mask, dir_fd);
}

bool FanotifyWatcher::hint_place(const DirAndName& place, uint32_t bits, const FanotifyEvent& event,
                                 Drained& out) {
  const std::optional<DirId> dir = cache_.find(place.dir);
  if (!dir) return false;
  if (place.name.empty()) {
    if (*dir == root_dir && (event.mask & (FAN_DELETE_SELF | FAN_MOVE_SELF)) != 0) {
      out.root_gone = true;
    }
    append_hint(out, bits | hint_self, *dir, {}, inodes_.of(place.dir));
    return true;
  }
  append_hint(out, bits, *dir, place.name, event.child.empty() ? 0 : inodes_.of(event.child));
  return true;
}

// No directory is named, or none of ours: the object's identity is all there is.
bool FanotifyWatcher::hint_object(uint32_t bits, const FanotifyEvent& event, Drained& out) {
  if (event.child.empty()) return false;
  const bool nameless = !event.place && !event.old_place && !event.new_place;
  if ((event.mask & FAN_ONDIR) != 0) {
    return nameless && hint_place({event.child, {}}, bits, event, out);
  }
  // A name outside the tree: ours only if the file has one inside too.
  constexpr uint64_t content_mask = FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB;
  if (!nameless && (event.mask & content_mask) == 0) return false;
  const uint64_t inode = inodes_.of(event.child);
  if (inode == 0 || (!nameless && !resolver_.linked(inode))) return false;
  append_hint(out, bits, {}, {}, inode);
  return true;
}

bool FanotifyWatcher::translate(const FanotifyEvent& event, Drained& out) {
  const uint32_t bits = bits_of(event.mask);
  const uint32_t moved = (bits & hint_directory) | hint_moved;
  bool ours = false;
  if (event.place) ours |= hint_place(*event.place, bits, event, out);
  if (event.old_place) ours |= hint_place(*event.old_place, moved | hint_removed, event, out);
  if (event.new_place) ours |= hint_place(*event.new_place, moved | hint_created, event, out);
  return ours || hint_object(bits, event, out);
}

void FanotifyWatcher::translate_buffer(std::string_view buffer, Drained& out) {
  FanotifyDecoder decoder(buffer);
  FanotifyEvent event;
  while (decoder.next(event)) {
    ++out.events;
    if (event.fd >= 0) ::close(event.fd);
    if ((event.mask & FAN_Q_OVERFLOW) != 0) {
      out.lost.push_back({fmt::format("the kernel's event queue overflowed "
                                      "(fs.fanotify.max_queued_events is {})",
                                      read_sysctl("fs.fanotify.max_queued_events")),
                          std::nullopt});
    } else if (!translate(event, out)) {
      ++out.foreign;
    }
  }
  if (decoder.malformed()) {
    out.lost.push_back({"the kernel's event records could not be read", std::nullopt});
  }
}

Result<Drained> FanotifyWatcher::drain(size_t bytes_max) {
  cache_.trim();
  Drained out;
  size_t total = 0;
  for (;;) {
    const ssize_t n = ::read(group_.get(), buffer_.get(), limits::watch_read_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return fail_errno("read fanotify events");
    if (n <= 0) break;
    translate_buffer({buffer_.get(), static_cast<size_t>(n)}, out);
    total += static_cast<size_t>(n);
    if (total >= bytes_max) {
      out.more = is_readable(group_.get());
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
