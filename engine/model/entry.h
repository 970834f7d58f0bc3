// entry.h: one key's record. Attributes are replicated and fingerprinted; LocalStat is the node's
// own.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "engine/base/ids.h"

namespace repl {

// Numbers are frozen: they are on disk and on the wire.
enum class FileType : uint8_t {
  none = 0,
  regular = 1,
  directory = 2,
  symlink = 3,
  fifo = 4,
  socket = 5,
  char_device = 6,
  block_device = 7,
};

struct Timestamp {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  auto operator<=>(const Timestamp&) const = default;
};

struct Attributes {
  FileType type = FileType::none;
  uint16_t mode = 0;  // permission bits with setuid, setgid, sticky (07777); 0777 for symlinks
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string owner;  // with ids = "name": hashed and mapped instead of uid and gid; else empty
  std::string group;
  Timestamp mtime;     // directories' and symlinks' too
  uint64_t size = 0;   // regular files only, else 0
  uint64_t rdev = 0;   // devices only, as makedev(3)
  std::string target;  // symlinks only
  std::string
      xattrs;  // canonical: (string name, string value)* sorted by name, bytes.h encoding; ACLs too
  Digest content;           // regular files only; unset = not known yet
  DirId dir;                // directories only: the directory's own id
  LinkId link;              // set if the inode has more than one name in the tree
  uint32_t link_names = 1;  // how many names in the tree lead to it
  // Directories merely on the way to what is included: created if missing, otherwise left alone.
  // Mode, owner, times and xattrs stay unset, so that they are neither hashed nor applied.
  bool transit = false;
  bool operator==(const Attributes&) const = default;
};

struct LocalStat {
  Timestamp ctime;
  uint64_t inode = 0;
  Timestamp birth;  // 0 where the filesystem has none; with `inode` tells a reused number
  std::string
      handle;  // directories only: kernel file handle (type + bytes), identifies, never opens
  int64_t seen_wall_ns = 0;  // when it was read, for the racy rule
  bool operator==(const LocalStat&) const = default;
};

// What was seen within this time of its ctime may have changed again without a trace (git's "racy"
// rule): an entry is read once more when it is next suspected, a content that was read meanwhile is
// read twice. Longer than the kernel's timestamp granularity (a jiffy, ≤ 10 ms; less since 6.13).
inline constexpr int64_t racy_window_ns = 20'000'000;

[[nodiscard]] inline bool is_racy(const LocalStat& local) {
  const int64_t ctime_ns =
      local.ctime.seconds * 1'000'000'000 + static_cast<int64_t>(local.ctime.nanoseconds);
  return local.seen_wall_ns < ctime_ns + racy_window_ns;
}

struct Entry {
  Attributes attr;
  LocalStat local;
  CutNumber cut;  // the cut that last changed it
};

}  // namespace repl
