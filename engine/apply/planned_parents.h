// planned_parents.h: where recovery looks for directories.
//
// Thread: one owner. Memory: one key per directory and plan.
#pragma once

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/apply/plan.h"
#include "engine/index/index.h"
#include "engine/io/dir_cache.h"

namespace repl::apply {

// Directories as the plans left them, where they did; the rest as the index has them. Or, once what
// the index has is back in its place, the other way round. A directory that several cuts moved may
// be at any of its places: `back` of them ago.
class PlannedParents final : public DirParents {
 public:
  enum class First : uint8_t { plan, index };
  PlannedParents(const Index& index, const std::vector<PlannedKey>& planned, First first)
      : index_(index), first_(first) {
    for (const PlannedKey& plan : planned) {
      if (plan.removed || !plan.attr.dir.is_set()) continue;
      std::vector<Key>& places = places_[plan.attr.dir];
      if (places.empty() || places.back() != plan.key) places.push_back(plan.key);
      most_ = std::max(most_, places.size());
    }
  }
  // How many places a directory has at most.
  [[nodiscard]] size_t most() const { return most_; }
  void look_back(size_t back) { back_ = back; }
  [[nodiscard]] std::optional<Place> place_of(DirId dir) const override {
    const auto known = index_.place_of(dir);
    const auto it = places_.find(dir);
    if (it == places_.end() || (known && first_ == First::index)) return known;
    const Key& at = it->second[it->second.size() - 1 - std::min(back_, it->second.size() - 1)];
    return Place{.parent = at.dir, .name = at.name, .inode = known ? known->inode : 0};
  }

 private:
  const Index& index_;
  First first_;
  std::unordered_map<DirId, std::vector<Key>> places_;
  size_t most_ = 1;
  size_t back_ = 0;
};

}  // namespace repl::apply
