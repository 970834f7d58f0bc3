// watcher.h: kernel events → hints. One interface over fanotify (filesystem mark or per-directory
// marks) and inotify.
//
// Events are hints: a hint says that a key may have changed; truth is what statx and read say
// afterwards. Merged, reordered and duplicate events do no harm. Loss is a state, not an error:
// `lost` says for which subtree (none: all).
//
// Thread: `add` and `remove` from any thread; everything else from the owner.
// Sources: fanotify(7), fanotify_mark(2), inotify(7), Linux 5.14 to 6.18; tests/unit/watch has a
// test for every kind of operation.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/base/ids.h"
#include "engine/base/log.h"
#include "engine/model/hint_bits.h"

namespace repl::watch {

enum class Mode : uint8_t { fanotify_filesystem, fanotify_directories, inotify };
[[nodiscard]] std::string_view to_string(Mode mode);

struct Hint {
  uint32_t bits = 0;
  DirId dir;         // unset: only `inode` is known
  std::string name;  // may be dead by now
  // Of the child (hint_self: of the directory), where the kernel says (fanotify with target ids);
  // 0: unknown. A name may be dead while the inode lives under another one, so a known inode counts
  // beside the key.
  uint64_t inode = 0;
};

struct Lost {
  std::string reason;  // for people: "queue overflow", "a directory moved in while unwatched"
  std::optional<DirId> below;  // none: the whole tree
};

struct Drained {
  std::vector<Hint> hints;
  std::vector<Lost> lost;
  bool root_gone = false;  // the root was deleted, moved or unmounted
  uint64_t events = 0;     // read from the kernel, foreign ones included
  uint64_t foreign = 0;    // not of this tree
  bool more = false;       // the kernel's queue was not empty when we stopped
};

// Asked by a fanotify watcher for a handle that is not in its cache (it caches misses too). Called
// on the owner's thread, inside drain(). The index implements it.
class HandleResolver {
 public:
  virtual ~HandleResolver() = default;
  [[nodiscard]] virtual std::optional<DirId> dir_of(std::string_view handle) const = 0;
  // True if the inode has names in the tree and may have others outside: a write through one of
  // those is then a hint of the inode alone instead of a foreign event (filesystem mark only).
  [[nodiscard]] virtual bool linked(uint64_t /*inode*/) const { return false; }
};

class Watcher {
 public:
  virtual ~Watcher() = default;
  [[nodiscard]] virtual Mode mode() const = 0;
  // Readable when there is something to drain. An epoll descriptor: for poll, epoll or io_uring,
  // not to read.
  [[nodiscard]] virtual int event_fd() const = 0;

  // Must come before the directory is listed. Idempotent: a directory that was moved keeps its
  // watch, and one that got another id answers to that. A fanotify watcher needs the handle, and
  // learns new directories only here: a handle that it once found foreign stays foreign until add()
  // names it. A limit (fs.inotify.max_user_watches, fs.fanotify.max_user_marks) is ErrorCode::limit
  // and the message names the sysctl, its value and a better one.
  [[nodiscard]] virtual Status add(DirId dir, int dir_fd, std::string_view handle) = 0;
  // The directory left the tree (removed, moved out, excluded).
  virtual void remove(DirId dir) = 0;
  // An fd of a directory outside of interest (our own staging), whose events need never be seen.
  virtual void ignore(int dir_fd) = 0;

  // Reads what the kernel has, up to about `bytes_max` of its buffers (at least one read), never
  // blocks.
  [[nodiscard]] virtual Result<Drained> drain(size_t bytes_max) = 0;
};

struct WatcherOptions {
  std::optional<Mode> mode;  // none: chosen
  // fanotify: the kernel's bound on queue and marks (fs.fanotify.max_queued_events, max_user_marks)
  // even where we may do without. inotify and unprivileged fanotify always have one.
  bool bounded = false;
};

// Chooses as design says: fanotify with a filesystem mark where the tree is most of its filesystem
// (or NFS exports need it), per-directory marks where it is a small part, inotify where fanotify
// cannot be had (unprivileged, overlayfs, kernels before 5.9). `explanation` is the reason of the
// choice, without the mode's name.
struct Opened {
  std::unique_ptr<Watcher> watcher;
  std::string explanation;
};
[[nodiscard]] Result<Opened> open_watcher(int root_fd, const HandleResolver& resolver,
                                          const WatcherOptions& options, Log& log);

// What this kernel and filesystem would allow, for `repl doctor`.
struct Capability {
  Mode mode;
  bool available = false;
  std::string reason;  // why not, and what to change
};
[[nodiscard]] std::vector<Capability> probe(int root_fd);

}  // namespace repl::watch
