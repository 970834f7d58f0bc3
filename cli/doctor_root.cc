// What a filesystem can hold, found out by trying in a temporary directory. The probes call the
// system directly: they ask what it would answer, which is not replication.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "cli/doctor.h"
#include "engine/base/escape.h"
#include "engine/io/fs_ops.h"
#include "engine/io/guard_mount.h"
#include "engine/watch/watcher.h"

namespace repl::cli {
namespace {

class Probe {
 public:
  Probe(std::string subject, int root) : subject_(std::move(subject)), root_(root) {
    name_ = fmt::format(".repl-doctor.{}", ::getpid());
    struct stat before{};
    const bool known = ::fstat(root, &before) == 0;
    made_ = io::make_dir(root, name_, 0700).has_value();
    if (!made_) return;
    if (known) mtime_ = before.st_mtim;
    if (::fstat(root, &made_at_) != 0) mtime_.reset();
    if (Result<Fd> dir = io::open_dir(root, name_)) dir_ = std::move(*dir);
    file_ = Fd(::openat(dir_.get(), "file", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  }
  ~Probe() {
    file_.reset();
    dir_.reset();
    // Two equal trees are equal afterwards, too: the root's time is what it was, unless somebody
    // else changed it meanwhile.
    struct stat now{};
    const bool ours = made_ && mtime_ && ::fstat(root_, &now) == 0 &&
                      now.st_mtim.tv_sec == made_at_.st_mtim.tv_sec &&
                      now.st_mtim.tv_nsec == made_at_.st_mtim.tv_nsec;
    // A leftover would be replicated; if it cannot be removed it says where it is.
    if (made_ && !io::remove_tree(root_, name_)) {
      fmt::print(stderr, "repl: cannot remove {} below the root; remove it by hand\n", name_);
    }
    if (ours) {
      const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, *mtime_};
      ::futimens(root_, times);
    }
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  [[nodiscard]] bool ready() const { return dir_.valid() && file_.valid(); }

  std::vector<Finding> run() {
    xattr("user.repl", "user xattrs", "user extended attributes are lost");
    xattr("trusted.repl", "trusted xattrs",
          "trusted extended attributes are lost (root is needed, too)");
    acl();
    reflink();
    times();
    tmpfile();
    exchange();
    case_folding();
    return std::move(findings_);
  }

 private:
  void note(bool good, Health otherwise, std::string_view what, std::string advice) {
    const int why = errno;
    findings_.push_back({good ? Health::ok : otherwise, fmt::format("{}: {}", subject_, what),
                         good ? "yes" : fmt::format("no ({})", std::strerror(why)),
                         good ? "" : std::move(advice)});
  }
  void xattr(const char* name, std::string_view what, std::string without) {
    note(::fsetxattr(file_.get(), name, "x", 1, 0) == 0, Health::warn, what, std::move(without));
  }
  void acl() {
    // Reading one that is not there: ENODATA where there are ACLs, EOPNOTSUPP where there are none.
    const ssize_t n = ::fgetxattr(file_.get(), "system.posix_acl_access", nullptr, 0);
    note(n >= 0 || errno == ENODATA, Health::warn, "POSIX ACLs", "ACLs are lost; mount with acl");
  }
  void reflink() {
    const Fd copy(::openat(dir_.get(), "copy", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    const std::string block(4096, 'x');
    const bool wrote = ::pwrite(file_.get(), block.data(), block.size(), 0) == 4096;
    const bool good = wrote && ::ioctl(copy.get(), FICLONE, file_.get()) == 0;
    const int why = errno;
    // Only speed hangs on it: not a fault.
    findings_.push_back(
        {Health::ok, subject_ + ": reflink",
         good ? "yes"
              : fmt::format("no ({}): large files are patched by copying", std::strerror(why)),
         ""});
  }
  void times() {
    const timespec wanted[2] = {{1'000'000'000, 123'456'789}, {1'000'000'000, 123'456'789}};
    struct stat st{};
    errno = ENOTSUP;
    const bool good = ::futimens(file_.get(), wanted) == 0 && ::fstat(file_.get(), &st) == 0 &&
                      st.st_mtim.tv_nsec == 123'456'789;
    note(good, Health::fail, "nanosecond times", "use a filesystem with them: ext4, xfs, btrfs");
  }
  void tmpfile() {
    const Fd fd(::openat(dir_.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    const int why = errno;
    // Staging uses names of its own; what this tells is which filesystem one has to do with.
    findings_.push_back({Health::ok, subject_ + ": O_TMPFILE",
                         fd.valid() ? "yes" : fmt::format("no ({})", std::strerror(why)), ""});
  }
  void exchange() {
    const Fd other(::openat(dir_.get(), "other", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    note(::renameat2(dir_.get(), "file", dir_.get(), "other", RENAME_EXCHANGE) == 0, Health::fail,
         "RENAME_EXCHANGE",
         "replacing a file keeps the old one by exchange: use ext4, xfs or btrfs");
  }
  void case_folding() {
    struct stat st{};
    const bool folds = ::fstatat(dir_.get(), "FILE", &st, AT_SYMLINK_NOFOLLOW) == 0;
    errno = EEXIST;
    note(!folds, Health::fail, "case matters",
         "names that differ in case only would fall together");
  }

  std::string subject_;
  int root_;
  std::string name_;
  bool made_ = false;
  std::optional<timespec> mtime_;  // of the root, before
  struct stat made_at_{};          // the root's, with the directory in it
  Fd dir_, file_;
  std::vector<Finding> findings_;
};

std::vector<Finding> watching(const std::string& subject, int root) {
  std::vector<Finding> out;
  bool any = false;
  for (const watch::Capability& capability : watch::probe(root)) {
    any |= capability.available;
    out.push_back({capability.available ? Health::ok : Health::warn,
                   fmt::format("{}: {}", subject, watch::to_string(capability.mode)),
                   capability.available ? "available" : capability.reason,
                   capability.available ? "" : "another way of watching is used"});
  }
  if (!any) {
    out.push_back({Health::fail, subject + ": watching",
                   "the kernel offers no way to watch this root", "use a local filesystem"});
  }
  return out;
}

}  // namespace

std::vector<Finding> examine_root(const std::string& subject, const std::string& root,
                                  bool guarded) {
  Result<Fd> fd = io::open_root(root);
  if (!fd) {
    return {{Health::fail, subject, fd.error().message,
             fmt::format("create it (`mkdir -p {}`), or correct root in the configuration",
                         escape(root))}};
  }
  std::vector<Finding> out = watching(subject, fd->get());
  const Result<io::Beneath> beneath =
      guarded ? io::Beneath::clone(fd->get()) : Result<io::Beneath>(io::Beneath());
  Probe probe(subject, guarded && beneath ? beneath->root() : fd->get());
  if (!probe.ready()) {
    out.push_back({Health::fail, subject, "cannot write below the root",
                   "run as root; is it mounted read-only?"});
    return out;
  }
  const std::vector<Finding> more = probe.run();
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

}  // namespace repl::cli
