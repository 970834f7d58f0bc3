#include "engine/run/tree_parts.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/io/fs_ops.h"
#include "engine/model/hash.h"
#include "engine/run/staging_place.h"

namespace repl::run {

namespace {

class IndexResolver final : public watch::HandleResolver {
 public:
  explicit IndexResolver(const Index& index) : index_(index) {}
  [[nodiscard]] std::optional<DirId> dir_of(std::string_view handle) const override {
    return index_.dir_of_handle(handle);
  }
  [[nodiscard]] bool linked(uint64_t inode) const override {
    return !index_.keys_of_inode(inode).empty();
  }

 private:
  const Index& index_;
};

Status make_private_dir(const std::string& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) return fail(sys_error("create the directory " + escape(path), code.value()));
  std::filesystem::permissions(path, std::filesystem::perms::owner_all, code);
  if (code) return fail(sys_error("set the mode of " + escape(path), code.value()));
  return {};
}

bool is_below(const std::string& path, const std::string& root) {
  std::error_code code;
  const std::filesystem::path inner = std::filesystem::weakly_canonical(path, code);
  const std::filesystem::path outer = std::filesystem::weakly_canonical(root, code);
  const auto [end, rest] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end == outer.end();
}

}  // namespace

Reign random_reign() {
  Reign reign;
  while (!reign.is_set()) {
    uint64_t bits[2] = {};
    if (getrandom(bits, sizeof bits, 0) != sizeof bits) continue;
    reign.high = bits[0];
    reign.low = bits[1];
  }
  return reign;
}

Bits128 boot_id() {
  std::string text;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), text);
  std::erase(text, '-');
  Bits128 boot;
  return from_hex(text, boot) ? boot : Bits128{};
}

TreeParts::TreeParts(TreeOptions o, const Clock& c, Log& l)
    : options(std::move(o)), clock(c), log(l), guard(c, l), changes(limits::dirty_keys_max) {}

Result<std::unique_ptr<TreeParts>> TreeParts::open(TreeOptions options, const Clock& clock,
                                                   Log& log) {
  std::unique_ptr<TreeParts> parts(new TreeParts(std::move(options), clock, log));
  if (Status s = parts->open_root(); !s) return fail(s.error());
  if (Status s = parts->open_index(); !s) return fail(s.error());
  parts->dirs = std::make_unique<io::DirCache>(std::move(parts->root_), *parts->index);
  if (Status s = parts->open_staging(); !s) return fail(s.error());
  if (Status s = parts->open_watch(); !s) return fail(s.error());
  parts->backend = io::make_backend(parts->options.io);
  return parts;
}

Status TreeParts::open_root() {
  Result<Fd> root =
      options.guard ? guard.open(options.name, options.root) : io::open_root(options.root);
  if (!root) {
    if (root.error().code == ErrorCode::not_found) {
      return fail(
          ErrorCode::not_found,
          "the root " + escape(options.root) +
              " does not exist (or is not a directory): create it, or mount it, and start again",
          Remedy::hold);
    }
    return fail(root.error());
  }
  Result<io::Stat> stat = io::stat_fd(root->get());
  if (!stat) return fail(stat.error());
  root_mount = stat->mount;
  root_device = stat->device;
  root_ = std::move(*root);
  return {};
}

Status TreeParts::open_index() {
  if (is_below(options.state_dir, options.root)) {
    return fail(ErrorCode::invalid, "the state directory " + escape(options.state_dir) +
                                        " lies inside the tree " + escape(options.root) +
                                        ": choose another with --state-dir");
  }
  if (Status s = make_private_dir(options.state_dir); !s) return s;
  auto opened = Index::open(options.state_dir + "/index", fingerprint_seed(options.name));
  if (!opened) return fail(opened.error());
  index = std::move(*opened);
  resolver = std::make_unique<IndexResolver>(*index);
  if (const std::optional<std::string> stored = index->meta(role::node_state_name)) {
    Result<role::NodeState> decoded = role::decode_node_state(*stored);
    if (!decoded) return fail(decoded.error());
    state = std::move(*decoded);
  }
  return {};
}

Status TreeParts::open_staging() {
  reserved_name = staging_name;
  Result<std::string> chosen =
      choose_staging(options.root, options.staging, options.state_dir, options.guard);
  if (!chosen) return fail(chosen.error());
  staging_path = std::move(*chosen);
  Result<Fd> area = open_staging_dir();
  if (!area) return fail(area.error());
  Result<io::Stat> stat = io::stat_fd(area->get());
  if (!stat) return fail(stat.error());
  if (stat->device != root_device || (root_mount != 0 && stat->mount != root_mount)) {
    return fail(ErrorCode::invalid, "the staging area " + escape(staging_path) +
                                        " must be on the same filesystem and mount as the root " +
                                        escape(options.root));
  }
  auto opened = apply::Staging::open(std::move(*area));
  if (!opened) return fail(opened.error());
  staging = std::move(*opened);
  stamp.open(staging->filesystem(), *index);
  return {};
}

Result<Fd> TreeParts::open_staging_dir() {
  if (staging_path == options.root + "/" + staging_name) return make_staging_in_root();
  if (Status s = make_private_dir(staging_path); !s) return fail(s.error());
  return io::open_root(staging_path);
}

// Making the area in the root is no change of the tree: the root keeps its time. (Two trees that
// are equal would differ by it, and not join.) By descriptor: a guarded root may be read-only by
// its path.
Result<Fd> TreeParts::make_staging_in_root() {
  const Result<io::Stat> before = io::stat_fd(dirs->root());
  if (!before) return fail(before.error());
  const bool there = io::stat_at(dirs->root(), staging_name).has_value();
  Result<Fd> area = apply::open_private_dir(dirs->root(), staging_name);
  if (!area) return fail(area.error());
  if (::fchmod(area->get(), 0700) != 0) {
    Error error = sys_error("set the mode of the staging area", errno);
    if (error.sys_errno == EROFS)
      error.message +=
          "; a guard that is left over goes with `umount " + escape(options.root) + "`";
    return fail(std::move(error));
  }
  if (there) return area;
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                             {.tv_sec = before->attr.mtime.seconds,
                              .tv_nsec = static_cast<long>(before->attr.mtime.nanoseconds)}};
  if (::futimens(dirs->root(), times) != 0) {  // somebody else's directory, and not root
    log.warn("{}: {}", options.name,
             sys_error("keep the modification time of the root", errno).message);
  }
  return area;
}

Status TreeParts::open_watch() {
  if (!options.watch_live) {
    watch_why = "not watched: one pass only";
    return {};
  }
  watch::WatcherOptions wanted;
  wanted.mode = options.watch_mode;
  auto opened = watch::open_watcher(guard.seen().value_or(dirs->root()), *resolver, wanted, log);
  if (!opened) return fail(opened.error());
  watcher = std::move(opened->watcher);
  watch_why = opened->explanation;
  watcher->ignore(staging->filesystem());
  return {};
}

change::ObserverParts TreeParts::observer_parts() {
  return change::ObserverParts{.index = *index,
                               .dirs = *dirs,
                               .policy = options.policy,
                               .ids = *ids,
                               .root_mount = root_mount,
                               .reserved_name = reserved_name};
}

void TreeParts::start_ids() {
  const uint32_t tag = static_cast<uint32_t>(state.position.reign.low) & 0xFFFFFF;
  change::IdAllocator fresh(tag == 0 ? static_cast<uint32_t>(random_reign().low | 1) : tag,
                            state.id_counter, id_is_taken());
  // In place: an observer may hold on to it (a primary that is promoted once more).
  if (ids)
    *ids = std::move(fresh);
  else
    ids = std::make_unique<change::IdAllocator>(std::move(fresh));
}

void TreeParts::renew_ids() {
  *ids = change::IdAllocator(static_cast<uint32_t>(random_reign().low | 1), 0, id_is_taken());
}

std::function<bool(uint64_t)> TreeParts::id_is_taken() const {
  return [&known = *index](uint64_t id) {
    return known.summary(DirId{id}).has_value() || !known.keys_of_link(LinkId{id}).empty();
  };
}

void TreeParts::store_state() {
  if (ids) state.id_counter = ids->counter();
  index->put_meta(role::node_state_name, role::encode(state));
}

void TreeParts::record_stamp() {
  stamp.record(*index, state.position, clock.wall_ns() / 1'000'000'000);
}

Status TreeParts::flush() {
  record_stamp();
  if (Status s = index->flush(); !s) return s;
  committed(stamp.recorded());
  return {};
}

// That it cannot be written is no reason to stop: the next start holds and asks a person.
void TreeParts::committed(const StampValue& recorded) {
  if (Status s = stamp.committed(recorded); !s) log.warn("{}: {}", options.name, s.error().message);
}

void TreeParts::unwatch_tree(DirId top) {
  if (!watcher) return;
  std::vector<DirId> below{top};
  while (!below.empty()) {
    const DirId dir = below.back();
    below.pop_back();
    watcher->remove(dir);
    index->for_children(dir, [&](std::string_view, const Entry& entry) {
      if (entry.attr.type == FileType::directory) below.push_back(entry.attr.dir);
      return true;
    });
  }
}

std::string TreeParts::describe(const Key& key) const {
  if (key.is_root()) return ".";
  const std::optional<std::string> path = index->path_of(key);
  return escape(path ? *path : "?/" + key.name);
}

}  // namespace repl::run
