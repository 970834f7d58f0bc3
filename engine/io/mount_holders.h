// mount_holders.h: which processes have a guarded tree's files open, and which of them the guard
// does not reach: descriptors that are older than its mount, other mounts of the tree, and other
// mount namespaces.
//
// What the kernel itself holds (an NFS server, a loop device) is in no process. Of processes of
// others CAP_SYS_PTRACE is needed.
//
// Thread: any; reads all of /proc, some 100 ms on a busy machine. Nothing is asked of a network
// filesystem. Bounds: limits::guard_holders_max of each kind are named, all are counted.
// Sources: proc_pid_fdinfo(5) (mnt_id), proc_pid_map_files(5), proc_pid_mountinfo(5).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/error.h"

namespace repl::io {

struct Holder {
  pid_t pid = 0;
  std::string program;
  std::string path;  // as that process sees it
};

struct HolderList {
  std::vector<Holder> named;
  uint64_t count = 0;
};

struct MountHolders {
  HolderList writers;  // files open, or mapped, for writing through the mount: it stays writable
  // Through another mount: files likewise, and directories (working ones, too), below which that
  // process can open more.
  HolderList outside;
  // Other places where the tree can be written: one process for each mount namespace.
  HolderList elsewhere;
  uint64_t unreadable = 0;  // processes that this one may not look at
};

// This process is left out. `mount` is one of this process's namespace.
[[nodiscard]] Result<MountHolders> find_mount_holders(uint64_t mount);

// "pid 7 (mysqld) has /srv/t/ibdata1, pid 8 ..., and 3 more": for people, escaped.
[[nodiscard]] std::string describe(const HolderList& holders);

}  // namespace repl::io
