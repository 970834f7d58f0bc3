#include "engine/io/mount_holders.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <system_error>

#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/io/mount_table.h"

namespace repl::io {

namespace {

std::string target_of(const std::string& link) {
  std::array<char, PATH_MAX> text;
  const ssize_t size = ::readlink(link.c_str(), text.data(), text.size());
  return size < 0 ? std::string() : std::string(text.data(), static_cast<size_t>(size));
}

// A hung network filesystem must not hold us: what the kernel remembers is enough.
std::optional<struct statx> look(const std::string& link) {
  struct statx st{};
  if (::statx(AT_FDCWD, link.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MNT_ID, &st) != 0)
    return std::nullopt;
  return st;
}

struct Descriptor {
  int access = O_RDONLY;
  uint64_t mount = 0;
};

std::optional<Descriptor> read_descriptor(const std::string& fdinfo) {
  std::ifstream in(fdinfo);
  Descriptor out;
  std::string key, value;
  while (in >> key >> value) {
    const int base = key == "flags:" ? 8 : 10;
    uint64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number, base);
    if (key == "flags:") out.access = static_cast<int>(number) & O_ACCMODE;
    if (key != "mnt_id:") continue;
    out.mount = number;
    return out;
  }
  return std::nullopt;
}

// Where a path leads in that namespace: the last of the mounts with the longest point above it.
uint64_t mount_at(const MountTable& table, std::string_view path) {
  const Mount* found = nullptr;
  std::string_view rest;
  for (const Mount& mount : table) {
    if (path_below(path, mount.point, rest) &&
        (found == nullptr || mount.point.size() >= found->point.size()))
      found = &mount;
  }
  return found == nullptr ? 0 : found->id;
}

class Search {
 public:
  explicit Search(Mount tree) : tree_(std::move(tree)) {}

  void process(pid_t pid) {
    const std::string proc = fmt::format("/proc/{}", pid);
    const std::string space = target_of(proc + "/ns/mnt");
    if (space.empty()) {
      if (errno == EACCES || errno == EPERM) ++found_.unreadable;
      return;  // a kernel thread, or it has ended
    }
    Process at{.pid = pid, .proc = proc, .mounts = mounts_of(space, proc)};
    const auto [first, fresh] = seen_.try_emplace(space, pid);
    if (fresh) other_mounts(at);
    descriptors(at);
    directory(at, proc + "/cwd");
    directory(at, proc + "/root");
    mappings(at);
  }
  MountHolders take() { return std::move(found_); }

 private:
  struct Process {
    pid_t pid;
    std::string proc;
    const MountTable& mounts;
  };

  const MountTable& mounts_of(const std::string& space, const std::string& proc) {
    const auto known = tables_.find(space);
    if (known != tables_.end()) return known->second;
    Result<MountTable> table = read_mounts(proc);
    return tables_[space] = table ? std::move(*table) : MountTable();
  }

  static void add(HolderList& list, const Process& at, std::string path) {
    if (++list.count > limits::guard_holders_max) return;
    std::string program;
    std::getline(std::ifstream(at.proc + "/comm"), program);
    list.named.push_back({.pid = at.pid, .program = program, .path = std::move(path)});
  }

  // Through a mount that is not the guard's: is that place in the tree, and writable?
  [[nodiscard]] bool in_tree(const Process& at, uint64_t id, std::string_view path) const {
    const Mount* mount = io::find_mount(at.mounts, id);
    if (mount == nullptr || mount->read_only || mount->device != tree_.device) return false;
    std::string_view rest;
    if (path_below(mount->root, tree_.root, rest)) return true;
    if (!path_below(path, mount->point, rest)) return false;
    const std::string inside = (mount->root == "/" ? "" : mount->root) + std::string(rest);
    return path_below(inside, tree_.root, rest);
  }

  void other_mounts(const Process& at) {
    for (const Mount& mount : at.mounts) {
      if (mount.id == tree_.id || mount.read_only || mount.device != tree_.device) continue;
      std::string_view rest;
      std::string place;
      if (path_below(mount.root, tree_.root, rest)) {
        place = mount.point;
      } else if (path_below(tree_.root, mount.root, rest)) {
        place = (mount.point == "/" ? "" : mount.point) + std::string(rest);
      } else {
        continue;
      }
      if (mount_at(at.mounts, place) == mount.id) add(found_.elsewhere, at, place);
    }
  }

  // `writes`: a file that is open for writing; else it counts if it is a directory.
  void opened(const Process& at, uint64_t mount, bool writes, const std::string& link) {
    if (mount == tree_.id) {
      if (writes) add(found_.writers, at, target_of(link));
      return;
    }
    const Mount* other = io::find_mount(at.mounts, mount);
    if (other == nullptr || other->device != tree_.device) return;
    const auto st = look(link);
    if (!st || (!S_ISDIR(st->stx_mode) && !(writes && S_ISREG(st->stx_mode)))) return;
    std::string path = target_of(link);
    if (in_tree(at, mount, path)) add(found_.outside, at, std::move(path));
  }

  void descriptors(const Process& at) {
    std::error_code code;
    std::filesystem::directory_iterator entry(at.proc + "/fdinfo", code);
    if (code) {
      if (code == std::errc::permission_denied) ++found_.unreadable;
      return;
    }
    for (; entry != std::filesystem::directory_iterator(); entry.increment(code)) {
      if (code) return;
      const auto fd = read_descriptor(entry->path());
      if (!fd) continue;
      opened(at, fd->mount, fd->access != O_RDONLY,
             at.proc + "/fd/" + entry->path().filename().string());
    }
  }

  void directory(const Process& at, const std::string& link) {
    if (const auto st = look(link)) opened(at, st->stx_mnt_id, false, link);
  }

  // A mapping outlives its descriptor, and writes as long as it is there.
  void mappings(const Process& at) {
    std::ifstream in(at.proc + "/maps");
    std::string line;
    while (std::getline(in, line)) {
      std::istringstream words(line);
      std::string range, rights, offset, device, inode;
      words >> range >> rights >> offset >> device >> inode;
      if (rights.size() < 4 || rights[1] != 'w' || rights[3] != 's' || inode == "0") continue;
      const std::string link = at.proc + "/map_files/" + range;
      if (const auto st = look(link)) opened(at, st->stx_mnt_id, true, link);
    }
  }

  const Mount tree_;
  MountHolders found_;
  std::map<std::string, MountTable> tables_;  // by namespace
  std::map<std::string, pid_t> seen_;
};

}  // namespace

Result<MountHolders> find_mount_holders(uint64_t mount) {
  const Result<MountTable> mounts = read_mounts("/proc/self");
  if (!mounts) return fail(mounts.error());
  const Mount* tree = find_mount(*mounts, mount);
  if (tree == nullptr)
    return fail(ErrorCode::not_found, "the mount of the root is gone", Remedy::hold);
  Search search(*tree);
  std::error_code code;
  std::filesystem::directory_iterator entry("/proc", code);
  for (; !code && entry != std::filesystem::directory_iterator(); entry.increment(code)) {
    const std::string name = entry->path().filename();
    pid_t pid = 0;
    const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc{} || stop != name.data() + name.size() || pid == ::getpid()) continue;
    search.process(pid);
  }
  if (code) return fail(sys_error("read /proc", code.value()));
  return search.take();
}

std::string describe(const HolderList& holders) {
  std::string out;
  for (const Holder& holder : holders.named) {
    out += fmt::format("{}pid {} ({}) has {}", out.empty() ? "" : ", ", holder.pid,
                       escape(holder.program), escape(holder.path));
  }
  if (holders.count > holders.named.size())
    out += fmt::format(", and {} more", holders.count - holders.named.size());
  return out;
}

}  // namespace repl::io
