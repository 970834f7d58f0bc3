#include "engine/apply/staged_dirs.h"

#include <fcntl.h>

#include "engine/io/fs_ops.h"

namespace repl::apply {

std::optional<DirParents::Place> StagedDirs::place_of(DirId dir) const {
  if (dir.value >= reserved_dir_ids_first) {
    return Place{.parent = root_dir, .name = std::to_string(dir.value - reserved_dir_ids_first)};
  }
  const auto it = places_.find(dir);
  if (it == places_.end()) return std::nullopt;
  return it->second;
}

Result<int> StagedDirs::open(DirId dir) {
  if (!cache_) {
    Fd root(::fcntl(staging_.new_root(), F_DUPFD_CLOEXEC, 0));
    if (!root.valid()) return fail_errno("duplicate a descriptor");
    cache_ = std::make_unique<io::DirCache>(std::move(root), *this);
  }
  return cache_->open(dir);
}

void StagedDirs::add_top(DirId dir, size_t spread, const std::string& name) {
  places_[dir] =
      Place{.parent = DirId{reserved_dir_ids_first + spread % spread_dirs}, .name = name};
}

void StagedDirs::add_nested(DirId dir, DirId parent, const std::string& name) {
  places_[dir] = Place{.parent = parent, .name = name};
}

void StagedDirs::clear() {
  places_.clear();
  cache_.reset();
}

}  // namespace repl::apply
