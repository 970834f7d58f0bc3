#include "engine/watch/handle_inode.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstring>

#include "engine/base/fd.h"

namespace repl::watch {

namespace {

constexpr uint32_t fileid_ino32_gen = 1;
constexpr uint32_t fileid_ino32_gen_parent = 2;
constexpr uint32_t fileid_ino64_gen = 0x81;  // xfs with 64-bit numbers as well
constexpr uint32_t fileid_ino64_gen_parent = 0x82;
constexpr uint32_t fileid_btrfs_first = 0x4d;
constexpr uint32_t fileid_btrfs_last = 0x4f;
constexpr long xfs_magic = 0x58465342;  // not in linux/magic.h of Debian 12
constexpr long f2fs_magic = 0xF2F52010;

template <typename T>
T read_at(std::string_view bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

bool layout_is_known(long magic) {
  return magic == EXT4_SUPER_MAGIC || magic == BTRFS_SUPER_MAGIC || magic == TMPFS_MAGIC ||
         magic == xfs_magic || magic == f2fs_magic;
}

}  // namespace

uint64_t inode_in_handle(std::string_view handle) {
  if (handle.size() < sizeof(uint32_t)) return 0;
  const auto type = read_at<uint32_t>(handle, 0);
  const std::string_view bytes = handle.substr(sizeof(uint32_t));
  switch (type) {
    case fileid_ino32_gen:
      // tmpfs uses the type with a layout of its own: generation, inode low, inode high.
      if (bytes.size() == 12) {
        return read_at<uint32_t>(bytes, 4) | (uint64_t{read_at<uint32_t>(bytes, 8)} << 32);
      }
      return bytes.size() >= 8 ? read_at<uint32_t>(bytes, 0) : 0;
    case fileid_ino32_gen_parent:
      return bytes.size() >= 8 ? read_at<uint32_t>(bytes, 0) : 0;
    case fileid_ino64_gen:
    case fileid_ino64_gen_parent:
      return bytes.size() >= 12 ? read_at<uint64_t>(bytes, 0) : 0;
    default:
      if (type < fileid_btrfs_first || type > fileid_btrfs_last) return 0;
      return bytes.size() >= 20 ? read_at<uint64_t>(bytes, 0) : 0;
  }
}

int open_handle(int root_fd, std::string_view handle) {
  if (handle.size() < sizeof(uint32_t) || handle.size() > sizeof(uint32_t) + MAX_HANDLE_SZ) {
    errno = EINVAL;
    return -1;
  }
  alignas(file_handle) char buffer[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* raw = reinterpret_cast<file_handle*>(buffer);
  raw->handle_bytes = static_cast<unsigned>(handle.size() - sizeof(uint32_t));
  std::memcpy(&raw->handle_type, handle.data(), sizeof(uint32_t));
  std::memcpy(raw->f_handle, handle.data() + sizeof(uint32_t), raw->handle_bytes);
  return open_by_handle_at(root_fd, raw, O_PATH | O_CLOEXEC);
}

HandleInode::HandleInode(int root_fd, std::string_view root_handle) : root_fd_(root_fd) {
  struct statfs filesystem{};
  struct stat root{};
  layout_known_ = fstatfs(root_fd, &filesystem) == 0 && layout_is_known(filesystem.f_type) &&
                  fstat(root_fd, &root) == 0 && inode_in_handle(root_handle) == root.st_ino;
}

uint64_t HandleInode::of(std::string_view handle) const {
  if (layout_known_) {
    if (const uint64_t inode = inode_in_handle(handle)) return inode;
  }
  const Fd fd(open_handle(root_fd_, handle));
  struct stat status{};
  return fd.valid() && fstat(fd.get(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace repl::watch
