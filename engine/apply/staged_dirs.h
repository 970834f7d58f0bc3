// staged_dirs.h: the new directories that a cut builds in staging, by their ids, so that the same
// walk that opens directories of the tree (dir_cache.h) opens them.
//
// Thread: one owner.
#pragma once

#include <memory>
#include <unordered_map>

#include "engine/apply/staging.h"
#include "engine/io/dir_cache.h"
#include "engine/model/dir_parents.h"

namespace repl::apply {

class StagedDirs final : public DirParents {
 public:
  explicit StagedDirs(Staging& staging) : staging_(staging) {}

  [[nodiscard]] bool contains(DirId dir) const { return places_.contains(dir); }
  [[nodiscard]] std::optional<Place> place_of(DirId dir) const override;
  [[nodiscard]] Result<int> open(DirId dir);
  // A directory in new/, or inside one that is staged itself. The caller made it.
  void add_top(DirId dir, size_t spread, const std::string& name);
  void add_nested(DirId dir, DirId parent, const std::string& name);
  // It left staging under its final name, with what is nested in it.
  void entered(DirId dir) { places_.erase(dir); }
  void clear();

 private:
  Staging& staging_;
  std::unordered_map<DirId, Place> places_;
  std::unique_ptr<io::DirCache> cache_;
};

// Ids from here up are never a tree's: they name the directories of new/.
inline constexpr uint64_t reserved_dir_ids_first = UINT64_MAX - 15;

}  // namespace repl::apply
