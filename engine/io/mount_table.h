// mount_table.h: the mounts of a namespace, as a process in it sees them.
//
// Thread: stateless, safe from any thread. Source: proc_pid_mountinfo(5).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace repl::io {

struct Mount {
  uint64_t id = 0;     // as STATX_MNT_ID
  std::string device;  // "major:minor" of the filesystem, not of a btrfs subvolume
  std::string root;    // the part of the filesystem that is mounted; "/" for all of it
  std::string point;   // where, seen from that process's root
  bool read_only = false;
};
// In the kernel's order: of two with one point, the later one covers the earlier.
using MountTable = std::vector<Mount>;

// The lines that make sense.
[[nodiscard]] MountTable parse_mounts(std::string_view mountinfo);
[[nodiscard]] Result<MountTable> read_mounts(const std::string& proc_dir);  // "/proc/self"
[[nodiscard]] const Mount* find_mount(const MountTable& table, uint64_t id);

// `path` relative to `above`: "" if they are equal, else with a leading '/'; false: it is not
// there.
[[nodiscard]] bool path_below(std::string_view path, std::string_view above,
                              std::string_view& rest);

}  // namespace repl::io
