// handle_inode.h: the inode number inside a kernel file handle.
//
// Handles are opaque by contract, but stable on disk where a filesystem can be exported over NFS,
// so these layouts are frozen: linux/exportfs.h (FILEID_INO32_GEN, FILEID_INO64_GEN),
// fs/btrfs/export.h, mm/shmem.c, fs/xfs/xfs_export.h. They are used only for filesystems that are
// known to have them, and only if the root's own handle decodes to its inode number; everything
// else is asked of the kernel (open_by_handle_at(2), which needs CAP_DAC_READ_SEARCH).
//
// Thread: immutable after construction.
#pragma once

#include <cstdint>
#include <string_view>

namespace repl::watch {

// By layout alone; 0: the layout is not known.
[[nodiscard]] uint64_t inode_in_handle(std::string_view handle);

class HandleInode {
 public:
  // `root_fd` stays open as long as this lives. `root_handle` may be empty: then nothing is
  // decoded.
  HandleInode(int root_fd, std::string_view root_handle);
  // 0: unknown, or gone (ESTALE: normal, the last name of an open file was unlinked).
  [[nodiscard]] uint64_t of(std::string_view handle) const;

 private:
  int root_fd_;
  bool layout_known_ = false;
};

// The inode behind a handle, opened to look at (O_PATH); -1 with errno. The caller closes it.
[[nodiscard]] int open_handle(int root_fd, std::string_view handle);

}  // namespace repl::watch
