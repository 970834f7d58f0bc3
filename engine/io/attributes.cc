#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"
#include "engine/io/xattrs.h"

namespace repl::io {

namespace {

constexpr std::string_view capability_name = "security.capability";
constexpr std::string_view acl_prefix = "system.posix_acl_";
constexpr uint16_t set_id_bits = S_ISUID | S_ISGID;

// What was done to the inode, and what must follow from it.
struct Progress {
  bool by_path = false;          // the descriptor is O_PATH
  bool capability_lost = false;  // chown(2) takes security.capability, and setuid and setgid
  bool mode_unknown = false;     // chown or an ACL may have changed the permission bits
};

Status set_owner(int fd, const Attributes& want, const struct stat& now, Progress& progress) {
  if (now.st_uid == want.uid && now.st_gid == want.gid) return {};
  if (::fchownat(fd, "", want.uid, want.gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("set the owner");
  }
  progress.capability_lost = true;
  progress.mode_unknown = true;
  return {};
}

Status set_one(int fd, const XattrView& want, Progress& progress) {
  if (want.name.starts_with(acl_prefix)) progress.mode_unknown = true;
  return set_xattr(fd, progress.by_path, want.name, want.value);
}

Status remove_one(int fd, std::string_view name, Progress& progress) {
  if (name.starts_with(acl_prefix)) progress.mode_unknown = true;
  return remove_xattr(fd, progress.by_path, name);
}

// Both are sorted: one walk finds what to remove and what to set. Removals come first, for the room
// they make.
Status set_xattrs(int fd, const std::vector<XattrView>& want, const std::vector<XattrView>& now,
                  Progress& progress) {
  std::vector<XattrView> different;
  auto have = now.begin();
  for (const XattrView& wanted : want) {
    for (; have != now.end() && have->name < wanted.name; ++have) {
      if (Status done = remove_one(fd, have->name, progress); !done) return done;
    }
    const bool there = have != now.end() && have->name == wanted.name;
    const bool lost = progress.capability_lost && wanted.name == capability_name;
    if (!there || lost || have->value != wanted.value) different.push_back(wanted);
    if (there) ++have;
  }
  for (; have != now.end(); ++have) {
    if (Status done = remove_one(fd, have->name, progress); !done) return done;
  }
  for (const XattrView& wanted : different) {
    if (Status done = set_one(fd, wanted, progress); !done) return done;
  }
  return {};
}

Status bring_xattrs(int fd, const Attributes& want, bool all, const std::string* current,
                    Progress& progress) {
  const Result<std::vector<XattrView>> wanted = parse_xattrs(want.xattrs);
  if (!wanted) return fail(wanted.error());
  if (!all) {
    // Only what chown took is put back.
    for (const XattrView& xattr : *wanted) {
      if (xattr.name == capability_name) return set_one(fd, xattr, progress);
    }
    return {};
  }
  std::string read;
  if (current == nullptr) {
    Result<std::string> now = read_xattrs(fd);
    if (!now) return fail(now.error());
    read = std::move(*now);
    current = &read;
  }
  const Result<std::vector<XattrView>> have = parse_xattrs(*current);
  if (!have) return fail(have.error());
  return set_xattrs(fd, *wanted, *have, progress);
}

Status set_mode(int fd, uint16_t mode, const Progress& progress) {
  const int done = progress.by_path ? ::chmod(fd_path(fd).c_str(), mode) : ::fchmod(fd, mode);
  if (done != 0) return fail_errno("set the mode");
  return {};
}

Status set_mtime(int fd, const Timestamp& mtime) {
  struct timespec times[2] = {};
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_sec = mtime.seconds;
  times[1].tv_nsec = mtime.nanoseconds;
  // UTIME_NOW and UTIME_OMIT are such numbers: a record that carries one is malformed.
  if (mtime.nanoseconds > 999'999'999) {
    return fail(ErrorCode::invalid, "a modification time has more than 999999999 nanoseconds");
  }
  // AT_EMPTY_PATH: Linux 5.8, O_PATH descriptors and symlinks too.
  if (::utimensat(fd, "", times, AT_EMPTY_PATH) != 0) {
    return fail_errno("set the modification time");
  }
  return {};
}

}  // namespace

Status set_attributes(int fd, const Attributes& want, const AttributeSet& which,
                      const std::string* current_xattrs) {
  struct stat now{};
  if (::fstat(fd, &now) != 0) return fail_errno("stat an open file");
  const bool is_symlink = S_ISLNK(now.st_mode);
  Progress progress{.by_path = is_path_fd(fd)};
  if (which.owner) {
    if (Status done = set_owner(fd, want, now, progress); !done) return done;
  }
  if (which.xattrs || progress.capability_lost) {
    Status done = bring_xattrs(fd, want, which.xattrs, current_xattrs, progress);
    if (!done) return done;
  }
  const bool mode_differs = progress.mode_unknown || (now.st_mode & 07777) != want.mode;
  const bool mode_lost = progress.mode_unknown && (want.mode & set_id_bits) != 0;
  if (!is_symlink && ((which.mode && mode_differs) || mode_lost)) {
    if (Status done = set_mode(fd, want.mode & 07777, progress); !done) return done;
  }
  if (which.mtime) return set_mtime(fd, want.mtime);
  return {};
}

}  // namespace repl::io
