// Whether a tree can be guarded here, and who is beyond the guard's reach.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <filesystem>
#include <string>
#include <system_error>

#include "cli/doctor.h"
#include "engine/base/escape.h"
#include "engine/io/fs_ops.h"
#include "engine/io/guard_mount.h"
#include "engine/io/mount_holders.h"
#include "engine/io/mount_table.h"

namespace repl::cli {
namespace {

std::string link_target(const char* link) {
  std::array<char, PATH_MAX> text;
  const ssize_t size = ::readlink(link, text.data(), text.size());
  return size < 0 ? std::string() : std::string(text.data(), static_cast<size_t>(size));
}

// A unit with a namespace of its own would guard the tree where nobody sees it.
Finding name_space(const std::string& subject) {
  const std::string ours = link_target("/proc/self/ns/mnt");
  const std::string first = link_target("/proc/1/ns/mnt");
  if (first.empty() || ours == first)
    return {Health::ok, subject, "in the mount namespace of the host", ""};
  return {Health::warn, subject, "this is not the mount namespace of process 1",
          "a guard counts for one namespace: run the daemon and this command in the host's "
          "(no PrivateTmp=, ProtectSystem= or the like in the unit)"};
}

void holders(const std::string& subject, const io::Mount& mount, std::vector<Finding>& out) {
  const Result<io::MountHolders> found = io::find_mount_holders(mount.id);
  if (!found) {
    out.push_back({Health::warn, subject, found.error().message, "ask again"});
    return;
  }
  if (found->writers.count > 0)
    out.push_back({Health::ok, subject + " keeps open", io::describe(found->writers), ""});
  if (found->outside.count > 0) {
    out.push_back({Health::warn, subject + " does not reach", io::describe(found->outside),
                   "open from before the guard, or through another mount: end that, or start it "
                   "again; a switchover is refused without --unguarded"});
  }
  if (found->elsewhere.count > 0) {
    out.push_back({Health::warn, subject + " does not reach",
                   io::describe(found->elsewhere) + ", another mount of the tree",
                   "what is written there is drift on a secondary: start those services after "
                   "repl, and where this node is the secondary, again"});
  }
  if (found->unreadable > 0) {
    out.push_back({Health::warn, subject,
                   fmt::format("{} processes cannot be looked at", found->unreadable),
                   "run as root, with CAP_SYS_PTRACE"});
  }
}

}  // namespace

std::vector<Finding> examine_guard(const std::string& tree, const std::string& root) {
  const std::string subject = tree + ": guard";
  if (const std::string why = io::guard_refusal(); !why.empty())
    return {{Health::fail, subject, why, "the tree is not served until then"}};
  std::vector<Finding> out = {name_space(subject)};
  const Result<Fd> seen = io::open_root(root);
  if (!seen) return out;  // examine_root says so
  const Result<io::Stat> stat = io::stat_fd(seen->get());
  const Result<io::MountTable> mounts = io::read_mounts("/proc/self");
  const io::Mount* mount = stat && mounts ? io::find_mount(*mounts, stat->mount) : nullptr;
  std::error_code code;
  if (mount == nullptr || mount->point != std::filesystem::canonical(root, code)) {
    out.push_back({Health::ok, subject, "the root is no mount yet: the daemon makes it one", ""});
    return out;
  }
  out.push_back(
      {Health::ok, subject,
       mount->read_only ? "closed: the tree is read-only here" : "open: the tree is writable here",
       ""});
  holders(subject, *mount, out);
  return out;
}

}  // namespace repl::cli
