#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "engine/base/bytes.h"
#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"

namespace repl::io {

namespace {

constexpr size_t dirent_buffer_bytes = 64 * 1024;
constexpr unsigned statx_mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;
// linux/fcntl.h, Linux 6.5: a handle that identifies but cannot be opened; what fanotify reports on
// filesystems that cannot be exported (overlayfs).
constexpr int at_handle_fid = 0x200;

FileType type_of_mode(unsigned mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return FileType::regular;
    case S_IFDIR:
      return FileType::directory;
    case S_IFLNK:
      return FileType::symlink;
    case S_IFIFO:
      return FileType::fifo;
    case S_IFSOCK:
      return FileType::socket;
    case S_IFCHR:
      return FileType::char_device;
    case S_IFBLK:
      return FileType::block_device;
    default:
      return FileType::none;
  }
}

Timestamp to_timestamp(const struct statx_timestamp& time) {
  return Timestamp{.seconds = time.tv_sec, .nanoseconds = time.tv_nsec};
}

// Never later than the truth: the coarse clock lags by up to a tick.
int64_t coarse_wall_ns() {
  struct timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

Stat to_stat(const struct statx& sx, int64_t seen_wall_ns) {
  Stat stat;
  stat.attr.type = type_of_mode(sx.stx_mode);
  const bool is_symlink = stat.attr.type == FileType::symlink;
  stat.attr.mode = is_symlink ? 0777 : static_cast<uint16_t>(sx.stx_mode & 07777);
  stat.attr.uid = sx.stx_uid;
  stat.attr.gid = sx.stx_gid;
  stat.attr.mtime = to_timestamp(sx.stx_mtime);
  if (stat.attr.type == FileType::regular) stat.attr.size = sx.stx_size;
  if (stat.attr.type == FileType::char_device || stat.attr.type == FileType::block_device) {
    stat.attr.rdev = makedev(sx.stx_rdev_major, sx.stx_rdev_minor);
  }
  stat.local.ctime = to_timestamp(sx.stx_ctime);
  stat.local.inode = sx.stx_ino;
  if ((sx.stx_mask & STATX_BTIME) != 0) stat.local.birth = to_timestamp(sx.stx_btime);
  stat.local.seen_wall_ns = seen_wall_ns;
  stat.nlink = sx.stx_nlink;
  stat.device = makedev(sx.stx_dev_major, sx.stx_dev_minor);
  if ((sx.stx_mask & STATX_MNT_ID) != 0) stat.mount = sx.stx_mnt_id;
  stat.blocks = sx.stx_blocks;
  return stat;
}

FileType type_of_dirent(unsigned char type) { return type_of_mode(DTTOIF(type)); }

// What getdents64(2) fills the buffer with.
struct KernelDirent {
  uint64_t inode;
  int64_t offset;
  uint16_t record_bytes;
  uint8_t type;
};
constexpr size_t dirent_name_offset = 19;

// True with an empty `out` where the filesystem has no handles; false with errno.
bool read_handle(int dir, const char* name, int flags, std::string& out) {
  alignas(struct file_handle) char storage[sizeof(struct file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<struct file_handle*>(storage);
  int mount_id = 0;
  for (const int kind : {0, at_handle_fid}) {
    handle->handle_bytes = MAX_HANDLE_SZ;
    if (::name_to_handle_at(dir, name, handle, &mount_id, flags | kind) == 0) {
      ByteWriter(out).u32(static_cast<uint32_t>(handle->handle_type));
      out.append(reinterpret_cast<const char*>(handle->f_handle), handle->handle_bytes);
      return true;
    }
    // EINVAL: a kernel before 6.5 does not know the second kind.
    if (errno != EOPNOTSUPP && errno != EINVAL) return false;
  }
  return true;
}

bool is_dot_or_dot_dot(std::string_view name) { return name == "." || name == ".."; }

}  // namespace

Result<Stat> stat_at(int dir, std::string_view name) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  const int64_t seen = coarse_wall_ns();
  struct statx sx;
  constexpr int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_AS_STAT;
  if (::statx(dir, leaf.c_str(), flags, statx_mask, &sx) != 0) return fail_named("stat", name);
  return to_stat(sx, seen);
}

Result<Stat> stat_fd(int fd) {
  const int64_t seen = coarse_wall_ns();
  struct statx sx;
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_SYNC_AS_STAT, statx_mask, &sx) != 0) {
    return fail_errno("stat an open file");
  }
  return to_stat(sx, seen);
}

Result<std::string> read_link(int dir, std::string_view name) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  std::array<char, limits::symlink_target_bytes_max + 1> buffer;
  const ssize_t size = ::readlinkat(dir, leaf.c_str(), buffer.data(), buffer.size());
  if (size < 0) {
    if (errno != EINVAL) return fail_named("read the symlink", name);
    return fail(ErrorCode::changed, fmt::format("{} is no longer a symlink", escape(name)),
                Remedy::rescan);
  }
  if (static_cast<size_t>(size) > limits::symlink_target_bytes_max) {
    return fail(ErrorCode::limit,
                fmt::format("the target of the symlink {} is longer than {} bytes", escape(name),
                            limits::symlink_target_bytes_max));
  }
  return std::string(buffer.data(), static_cast<size_t>(size));
}

Result<std::string> handle_of(int fd) {
  std::string handle;
  if (!read_handle(fd, "", AT_EMPTY_PATH, handle)) return fail_errno("read a file handle");
  return handle;
}

Result<std::string> handle_at(int dir, std::string_view name) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  std::string handle;
  if (!read_handle(dir, leaf.c_str(), 0, handle))
    return fail_named("read the file handle of", name);
  return handle;
}

Status list_dir(int dir, const std::function<bool(std::string_view name, FileType type)>& each) {
  if (::lseek(dir, 0, SEEK_SET) < 0) return fail_errno("rewind a directory");
  const auto buffer = std::make_unique_for_overwrite<char[]>(dirent_buffer_bytes);
  for (;;) {
    const long filled = uninterrupted(
        [&] { return ::syscall(SYS_getdents64, dir, buffer.get(), dirent_buffer_bytes); });
    if (filled < 0) return fail_errno("list a directory");
    if (filled == 0) return {};
    for (long at = 0; at < filled;) {
      KernelDirent head;
      std::memcpy(&head, buffer.get() + at, dirent_name_offset);
      const std::string_view name(buffer.get() + at + dirent_name_offset);
      at += head.record_bytes;
      if (is_dot_or_dot_dot(name)) continue;
      if (!each(name, type_of_dirent(head.type))) return {};
    }
  }
}

}  // namespace repl::io
