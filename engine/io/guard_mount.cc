#include "engine/io/guard_mount.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"

namespace repl::io {

namespace {

constexpr uint64_t propagation_private = 1 << 18;  // MS_PRIVATE of mount(2)

// By number: glibc has them from 2.36 on.
int open_tree(int fd, unsigned flags) {
  return static_cast<int>(::syscall(SYS_open_tree, fd, "",
                                    flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
}

int move_mount(int from, int to) {
  return static_cast<int>(::syscall(SYS_move_mount, from, "", to, "",
                                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int set_attributes_of_mount(int fd, const mount_attr& attr) {
  return static_cast<int>(::syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof attr));
}

struct Place {
  uint64_t mount = 0;
  bool is_mount_root = false;
};

Result<Place> place_of(int fd) {
  struct statx st{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) != 0) return fail_errno("look at the root");
  if ((st.stx_mask & STATX_MNT_ID) == 0)
    return fail(ErrorCode::unsupported, "the guard needs Linux 5.12 or later");
  return Place{.mount = st.stx_mnt_id,
               .is_mount_root = (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0};
}

std::unexpected<Error> fail_guard(const char* operation) {
  Error error = sys_error(fmt::format("guard: {}", operation), errno);
  if (const std::string why = guard_refusal(); !why.empty()) error.message += "; " + why;
  return fail(std::move(error));
}

Result<Fd> directory_of(int tree) {
  Fd fd(uninterrupted([&] { return ::openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd.valid()) return fail_guard("open the root");
  return fd;
}

// The root becomes the root of a mount of its own; what is mounted inside stays visible. Other
// namespaces that share mounts with ours get a copy, which then goes its own way: private, or a
// mount that somebody makes inside would appear beneath, too.
Result<Fd> bind_over_itself(int root) {
  const Fd bound(open_tree(root, AT_RECURSIVE));
  if (!bound.valid()) return fail_guard("clone the mount of the root");
  if (move_mount(bound.get(), root) != 0) return fail_guard("bind the root over itself");
  mount_attr attr{};
  attr.propagation = propagation_private;
  if (set_attributes_of_mount(bound.get(), attr) != 0) return fail_guard("make the mount private");
  return directory_of(bound.get());
}

bool has_admin_capability() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return false;
  return (data[0].effective >> CAP_SYS_ADMIN & 1) != 0;
}

}  // namespace

Result<Beneath> Beneath::clone(int root) {
  Beneath made;
  made.tree_ = Fd(open_tree(root, 0));
  if (!made.tree_.valid()) return fail_guard("clone the mount of the root");
  mount_attr attr{};
  attr.attr_clr = MOUNT_ATTR_RDONLY;
  attr.propagation = propagation_private;
  if (set_attributes_of_mount(made.tree_.get(), attr) != 0)
    return fail_guard("make the mount beneath writable");
  Result<Fd> opened = directory_of(made.tree_.get());
  if (!opened) return fail(opened.error());
  made.root_ = std::move(*opened);
  return made;
}

Result<Fd> Beneath::copy_root() const { return directory_of(root_.get()); }

Result<GuardMount> GuardMount::open(const std::string& root) {
  GuardMount guard;
  Result<Fd> seen = open_root(root);
  if (!seen) return fail(seen.error());
  Result<Place> place = place_of(seen->get());
  if (!place) return fail(place.error());
  if (!place->is_mount_root) {
    seen = bind_over_itself(seen->get());
    if (!seen) return fail(seen.error());
    place = place_of(seen->get());
    if (!place) return fail(place.error());
  }
  guard.seen_ = std::move(*seen);
  guard.id_ = place->mount;
  Result<Beneath> beneath = Beneath::clone(guard.seen_.get());
  if (!beneath) return fail(beneath.error());
  guard.beneath_ = std::move(*beneath);
  return guard;
}

Status GuardMount::set_read_only(bool read_only) {
  mount_attr attr{};
  (read_only ? attr.attr_set : attr.attr_clr) = MOUNT_ATTR_RDONLY;
  if (set_attributes_of_mount(seen_.get(), attr) == 0) return {};
  return fail_guard(read_only ? "make the mount of the root read-only"
                              : "make the mount of the root writable");
}

Result<bool> GuardMount::is_read_only() const {
  struct statvfs fs{};
  if (uninterrupted([&] { return ::fstatvfs(seen_.get(), &fs); }) != 0)
    return fail_errno("look at the mount of the root");
  return (fs.f_flag & ST_RDONLY) != 0;
}

std::string guard_refusal() {
  if (!has_admin_capability())
    return "the guard mounts, which needs CAP_SYS_ADMIN: run as root, or leave out guard";
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY;
  if (set_attributes_of_mount(-1, attr) == 0) return {};
  if (errno == ENOSYS) return "the guard needs mount_setattr(2), Linux 5.12 or later";
  if (errno == EPERM) {
    return "the guard needs open_tree(2), move_mount(2) and mount_setattr(2), and something "
           "forbids "
           "them: see SystemCallFilter= of the service";
  }
  return {};
}

}  // namespace repl::io
