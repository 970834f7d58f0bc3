// fs_ops.h: every system call on a name, in one module. No other file calls one
// (scripts/check_layers.py).
//
// A name is a leaf (is_legal_name) in a directory that is held open; directories are opened by
// walking with openat2(2) RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
// RESOLVE_NO_XDEV (Linux 5.6), so that nothing a peer says and no symlink that a local user plants
// leads outside the root. Operations on content and attributes go to held descriptors.
//
// Thread: stateless, safe from any thread. Errors: sys_error with the operation and the escaped
// leaf name.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/model/entry.h"

namespace repl::io {

// What statx(2) said, in the model's words. `attr` has no xattrs, target, content, dir or link.
struct Stat {
  Attributes attr;
  LocalStat local;  // without handle
  uint32_t nlink = 0;
  uint64_t device = 0;  // st_dev, as makedev(3)
  uint64_t mount = 0;   // STATX_MNT_ID (Linux 5.8); 0 where the kernel has none
  uint64_t blocks = 0;  // of 512 bytes
};

enum class CopyHow : uint8_t { cloned, copied };

// --- directories ---
// The root of a tree or a staging area, by absolute path (symlinks in it are the administrator's
// and followed).
[[nodiscard]] Result<Fd> open_root(const std::string& path);
// One level down; O_DIRECTORY | O_RDONLY, never through a symlink or into another mount.
[[nodiscard]] Result<Fd> open_dir(int dir, std::string_view name);
// Calls `each` per child ("." and ".." left out). `type` may be `none` where the filesystem does
// not say. Returning false stops. The directory's offset is reset first.
[[nodiscard]] Status list_dir(
    int dir, const std::function<bool(std::string_view name, FileType type)>& each);
[[nodiscard]] Status make_dir(int dir, std::string_view name, uint16_t mode);

// --- looking ---
[[nodiscard]] Result<Stat> stat_at(int dir, std::string_view name);  // never follows
[[nodiscard]] Result<Stat> stat_fd(int fd);
[[nodiscard]] Result<std::string> read_link(int dir, std::string_view name);
// Kernel file handle: handle_type (4 bytes LE) + bytes; empty where the filesystem has none.
[[nodiscard]] Result<std::string> handle_of(int fd);
[[nodiscard]] Result<std::string> handle_at(int dir, std::string_view name);  // never follows
// All extended attributes, ACLs and capabilities included, in the canonical encoding of
// Attributes::xattrs. security.selinux is left out, and XFS's second name of an ACL
// (trusted.SGI_ACL_*). `fd` may be O_PATH.
[[nodiscard]] Result<std::string> read_xattrs(int fd);
// The same for a child that is not open, with one system call when it has none.
[[nodiscard]] Result<std::string> read_xattrs_at(int dir, std::string_view name);  // never follows

// --- opening ---
// A regular file for reading; O_NOATIME where permitted; refuses anything else (O_NONBLOCK, checked
// by fstat).
[[nodiscard]] Result<Fd> open_read(int dir, std::string_view name);
// Any object, to look at or to set attributes of: O_PATH | O_NOFOLLOW.
[[nodiscard]] Result<Fd> open_path(int dir, std::string_view name);
// A new regular file, O_EXCL, mode 0600 until attributes are set.
[[nodiscard]] Result<Fd> create_file(int dir, std::string_view name);
// An existing regular file for reading and writing (a resumed stage).
[[nodiscard]] Result<Fd> open_write(int dir, std::string_view name);

// --- making, moving, removing ---
[[nodiscard]] Status make_symlink(int dir, std::string_view name, const std::string& target);
[[nodiscard]] Status make_node(int dir, std::string_view name, FileType type,
                               uint64_t rdev);  // mode 0600
[[nodiscard]] Status link_at(int from_dir, std::string_view from, int to_dir, std::string_view to);
[[nodiscard]] Status rename_noreplace(int from_dir, std::string_view from, int to_dir,
                                      std::string_view to);
[[nodiscard]] Status rename_exchange(int from_dir, std::string_view from, int to_dir,
                                     std::string_view to);
[[nodiscard]] Status unlink_at(int dir, std::string_view name);
[[nodiscard]] Status remove_dir(int dir, std::string_view name);
// Everything below and the thing itself, whatever it is; iterative, no depth limit, stays in the
// mount.
[[nodiscard]] Status remove_tree(int dir, std::string_view name);

// --- attributes, on a held descriptor (O_PATH for symlinks, devices and other non-regular files)
// ---
struct AttributeSet {
  bool owner = true;
  bool mode = true;
  bool xattrs = true;
  bool mtime = true;
};
// Order: owner, xattrs, mode (chown clears setuid: mode with setuid comes last but for time),
// mtime. Xattrs that are there and not wanted are removed. `current_xattrs` may be null: read
// first. What chown takes away (security.capability, setuid, setgid) is put back from `want` even
// where `which` leaves it out.
[[nodiscard]] Status set_attributes(int fd, const Attributes& want, const AttributeSet& which,
                                    const std::string* current_xattrs);

// --- content ---
[[nodiscard]] Result<size_t> read_at(int fd, uint64_t offset, char* buffer,
                                     size_t size);  // short only at the end
// What the page cache has of it, unless it is dirty or mapped (posix_fadvise(2)).
void drop_cached(int fd);
[[nodiscard]] Status write_at(int fd, uint64_t offset, std::string_view bytes);
[[nodiscard]] Status truncate(int fd, uint64_t size);
// The range reads as zeros, from a hole where the filesystem has them, and the file has at least
// offset + length bytes.
[[nodiscard]] Status make_hole(int fd, uint64_t offset, uint64_t length);
// FICLONERANGE where the filesystem has it and the range is aligned, else copy_file_range(2), else
// read/write. Holes stay holes.
[[nodiscard]] Result<CopyHow> copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset,
                                         uint64_t length);
// FICLONE of the whole file onto an empty one; false: this filesystem cannot, or not these two.
[[nodiscard]] Result<bool> clone_file(int from, int to);
// The next data at or after `offset` (SEEK_DATA): {start, end}; start == size when only a hole is
// left.
struct DataRange {
  uint64_t start = 0;
  uint64_t end = 0;
};
[[nodiscard]] Result<DataRange> next_data(int fd, uint64_t offset, uint64_t size);

// --- who uses it, and what is left ---
// Has anybody else this file open, or mapped? By a lease (F_SETLEASE in fcntl(2)), which needs the
// file to be ours or CAP_LEASE; true where that cannot be told.
[[nodiscard]] bool is_open_elsewhere(int fd);
// Free on the filesystem, for whom may not use the reserve.
[[nodiscard]] Result<uint64_t> free_bytes(int fd);

// --- durability ---
[[nodiscard]] Status sync_fd(int fd);  // fsync
[[nodiscard]] Status sync_filesystem(
    int fd);  // syncfs: errors since `fd` was opened are seen (5.8)

}  // namespace repl::io
