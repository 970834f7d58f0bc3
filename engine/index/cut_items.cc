#include "engine/index/cut_items.h"

#include <algorithm>
#include <tuple>
#include <unordered_set>
#include <utility>

namespace repl {

namespace {

// Of the root 1; 0: it leads nowhere.
class Depths {
 public:
  explicit Depths(const Index& index) : index_(index) {}
  [[nodiscard]] size_t of(DirId dir) {
    std::vector<DirId> chain;
    while (!known_.contains(dir)) {
      const auto place = index_.place_of(dir);
      if (!place) return 0;
      chain.push_back(dir);
      dir = place->parent;
    }
    size_t depth = known_.at(dir);
    for (auto at = chain.rbegin(); at != chain.rend(); ++at) known_.emplace(*at, ++depth);
    return depth;
  }

 private:
  const Index& index_;
  std::unordered_map<DirId, size_t> known_{{DirId{}, 0}, {root_dir, 1}};
};

}  // namespace

void supersede(CutItem& first, CutItem newer) {
  newer.destroys = newer.destroys || first.destroys;
  if (newer.unsent || first.unsent || first.removed) {
    newer.unsent = newer.unsent || first.unsent;
    newer.base_content = {};
    newer.base_size = 0;
    newer.content_changed = newer.attr.type == FileType::regular;
  } else {
    newer.base_content = first.base_content;
    newer.base_size = first.base_size;
    if (!newer.content_changed && first.content_changed) {
      newer.content_changed = true;
      if (newer.attr.content == first.attr.content) {
        newer.bytes = std::move(first.bytes);
        newer.copy_from = std::move(first.copy_from);
      }
    }
  }
  first = std::move(newer);
}

void complete_link_groups(CutItems& items, const Index& index, CutNumber at) {
  std::unordered_set<LinkId> groups;
  for (const auto& [key, item] : items) {
    if (!item.removed && item.attr.link.is_set()) groups.insert(item.attr.link);
  }
  for (const LinkId group : groups) {
    for (const Key& name : index.keys_of_link(group)) {
      const std::optional<Entry> entry = index.get(name);
      if (!entry || entry->cut > at || items.contains(name)) continue;
      items.emplace(name, CutItem{.key = name,
                                  .attr = entry->attr,
                                  .base_content = entry->attr.content,
                                  .base_size = entry->attr.size,
                                  .bytes = {},
                                  .copy_from = {}});
    }
  }
}

std::vector<CutItem> in_order(CutItems items, const Index& index,
                              const std::function<bool(CutItem&)>& wanted) {
  struct Placed {
    std::tuple<int, size_t, uint64_t, bool> rank;
    CutItem* item;
  };
  std::vector<Placed> placed;
  placed.reserve(items.size());
  Depths depths(index);
  for (auto& [key, item] : items) {
    const size_t depth = key.is_root() ? 0 : depths.of(key.dir);
    if ((depth == 0 && !key.is_root()) || !wanted(item)) continue;
    const bool directory = !item.removed && item.attr.type == FileType::directory;
    const int kind = item.removed ? 2 : directory ? 0 : 1;
    // Of a group, what changed comes last: it becomes a link of a name that peers have already.
    placed.push_back(
        Placed{.rank = {kind, directory ? depth : 0, item.attr.link.value, item.content_changed},
               .item = &item});
  }
  std::ranges::sort(placed, {}, [](const Placed& p) { return std::tie(p.rank, p.item->key); });
  std::vector<CutItem> ordered;
  ordered.reserve(placed.size());
  for (const Placed& p : placed) ordered.push_back(std::move(*p.item));
  return ordered;
}

}  // namespace repl
