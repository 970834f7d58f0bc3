#include "engine/io/dir_cache.h"

#include <fmt/core.h>

#include <cerrno>

#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/io/fs_ops.h"

namespace repl::io {

namespace {

std::unexpected<Error> fail_changed(std::string_view name, const Error* why = nullptr) {
  if (why != nullptr && why->sys_errno == EXDEV) {
    return fail(ErrorCode::changed,
                fmt::format("another filesystem is mounted over {}: what is beneath it waits until "
                            "it is unmounted",
                            escape(name)),
                Remedy::rescan);
  }
  return fail(ErrorCode::changed,
              fmt::format("{} is no longer the directory that the index knows", escape(name)),
              Remedy::rescan);
}

// A symlink, a file or a mount point where a directory of the tree was.
bool is_something_else(const Error& error) {
  return error.sys_errno == ENOTDIR || error.sys_errno == ELOOP || error.sys_errno == EXDEV;
}

}  // namespace

DirCache::DirCache(Fd root, const DirParents& parents)
    : root_(std::move(root)), parents_(parents) {}

Result<int> DirCache::open(DirId dir) { return open_at_depth(dir, 0); }

// `depth` bounds the walk also when an index on a damaged disk has a loop.
Result<int> DirCache::open_at_depth(DirId dir, size_t depth) {
  if (dir == root_dir) return root_.get();
  const auto cached = slots_.find(dir);
  if (cached != slots_.end() && cached->second.generation == generation_) {
    recent_.splice(recent_.begin(), recent_, cached->second.recent);
    return cached->second.fd.get();
  }
  if (depth >= limits::directory_depth_max) {
    return fail(ErrorCode::limit, fmt::format("directory {} is deeper than {} levels", dir.value,
                                              limits::directory_depth_max));
  }
  const std::optional<DirParents::Place> place = parents_.place_of(dir);
  if (!place) {
    forget(dir);
    return fail(ErrorCode::not_found, fmt::format("directory {} is not in the index", dir.value));
  }
  const Result<int> parent = open_at_depth(place->parent, depth + 1);
  if (!parent) {
    forget(dir);
    return parent;
  }
  Result<int> fd = revalidate(dir, *place, *parent);
  if (fd && *fd >= 0) return fd;
  forget(dir);
  return fd ? open_new(dir, *place, *parent) : fd;
}

// -1: not cached (or: another inode than the index says, and to be opened anew).
Result<int> DirCache::revalidate(DirId dir, const DirParents::Place& place, int parent) {
  const auto cached = slots_.find(dir);  // the walk to the parent may have evicted it
  if (cached == slots_.end()) return -1;
  Slot& slot = cached->second;
  const Result<Stat> now = stat_at(parent, place.name);
  if (!now) return fail(now.error());
  const bool same = now->attr.type == FileType::directory && now->local.inode == slot.inode &&
                    now->mount == slot.mount;
  if (!same) return -1;
  if (place.inode != 0 && place.inode != slot.inode) return fail_changed(place.name);
  slot.generation = generation_;
  recent_.splice(recent_.begin(), recent_, slot.recent);
  return slot.fd.get();
}

Result<int> DirCache::open_new(DirId dir, const DirParents::Place& place, int parent) {
  Result<Fd> fd = open_dir(parent, place.name);
  if (!fd) {
    if (is_something_else(fd.error())) return fail_changed(place.name, &fd.error());
    return fail(fd.error());
  }
  const Result<Stat> found = stat_fd(fd->get());
  if (!found) return fail(found.error());
  if (place.inode != 0 && found->local.inode != place.inode) return fail_changed(place.name);
  if (slots_.size() >= limits::dir_fds_max) forget(recent_.back());
  const int number = fd->get();
  recent_.push_front(dir);
  slots_.emplace(dir, Slot{.fd = std::move(*fd),
                           .inode = found->local.inode,
                           .mount = found->mount,
                           .generation = generation_,
                           .recent = recent_.begin()});
  return number;
}

void DirCache::forget(DirId dir) {
  const auto cached = slots_.find(dir);
  if (cached == slots_.end()) return;
  recent_.erase(cached->second.recent);
  slots_.erase(cached);
}

}  // namespace repl::io
