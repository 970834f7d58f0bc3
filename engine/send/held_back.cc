#include "engine/send/held_back.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "engine/base/limits.h"

namespace repl::send {

bool HeldBack::covers(const Key& key) const {
  if (items_.empty()) return false;
  if (items_.contains(key)) return true;
  DirId dir = key.dir;
  for (size_t depth = 0; dir != root_dir && depth <= limits::directory_depth_max; ++depth) {
    const auto place = index_.place_of(dir);
    if (!place) return false;
    const auto above = items_.find(Key{.dir = place->parent, .name = place->name});
    if (above != items_.end() && !above->second.removed) return true;
    dir = place->parent;
  }
  return false;
}

void HeldBack::hold(CutItem item) {
  item.bytes.reset();
  item.copy_from.reset();
  const auto at = items_.find(item.key);
  if (at != items_.end()) {
    const CutItem& first = at->second;
    item.base_content = first.base_content;
    item.base_size = first.base_size;
    item.content_changed = item.content_changed || first.content_changed || first.removed;
    item.unsent = item.unsent || first.unsent;
    const auto link = links_.find(first.attr.link);
    if (link != links_.end()) links_.erase(link);
  }
  if (item.attr.link.is_set()) links_.insert(item.attr.link);
  items_.insert_or_assign(item.key, std::move(item));
}

void HeldBack::clear() {
  items_.clear();
  links_.clear();
}

// 0: it leads nowhere.
size_t HeldBack::depth_of(DirId dir) const {
  for (size_t depth = 1; depth <= limits::directory_depth_max; ++depth) {
    if (dir == root_dir) return depth;
    const auto place = index_.place_of(dir);
    if (!place) return 0;
    dir = place->parent;
  }
  return 0;
}

bool HeldBack::still_true(CutItem& item) const {
  const std::optional<Entry> entry = index_.get(item.key);
  if (!entry) {  // a directory that moved on has no removal of its own
    item.removed = true;
    item.attr = {};
    return true;
  }
  if (item.removed || entry->attr.type != item.attr.type) return false;
  return entry->attr.dir == item.attr.dir;
}

// Names that joined a group later come with their own cut.
void HeldBack::complete_link_groups(CutNumber at) {
  std::vector<LinkId> groups;
  for (const auto& [key, item] : items_) {
    if (!item.removed && item.attr.link.is_set()) groups.push_back(item.attr.link);
  }
  for (const LinkId group : groups) {
    for (const Key& name : index_.keys_of_link(group)) {
      const std::optional<Entry> entry = index_.get(name);
      if (!entry || entry->cut > at || items_.contains(name)) continue;
      items_.emplace(name, CutItem{.key = name,
                                   .attr = entry->attr,
                                   .base_content = entry->attr.content,
                                   .base_size = entry->attr.size,
                                   .bytes = {},
                                   .copy_from = {}});
    }
  }
}

// A directory that the peer never heard of moved on, and what lies in it may wait here, too: it is
// told at its newer place, with what is above that.
void HeldBack::follow_moved_directories() {
  std::vector<DirId> moved;
  for (const auto& [key, item] : items_) {
    if (item.removed || item.attr.type != FileType::directory) continue;
    const auto place = index_.place_of(item.attr.dir);
    if (place && Key{.dir = place->parent, .name = place->name} != key)
      moved.push_back(item.attr.dir);
  }
  for (DirId dir : moved) {
    for (size_t depth = 0; dir != root_dir && depth <= limits::directory_depth_max; ++depth) {
      const auto place = index_.place_of(dir);
      if (!place) break;
      Key key{.dir = place->parent, .name = place->name};
      const std::optional<Entry> entry = index_.get(key);
      if (!entry) break;
      CutItem item{.key = key, .attr = entry->attr, .bytes = {}, .copy_from = {}};
      items_.try_emplace(std::move(key), std::move(item));
      dir = place->parent;
    }
  }
}

std::vector<CutItem> HeldBack::release(CutNumber at) {
  follow_moved_directories();
  complete_link_groups(at);
  struct Placed {
    std::tuple<int, size_t, uint64_t, bool> rank;
    CutItem item;
  };
  std::vector<Placed> placed;
  placed.reserve(items_.size());
  for (auto& [key, item] : items_) {
    const size_t depth = depth_of(key.dir);
    if ((depth == 0 && !key.is_root()) || !still_true(item)) continue;
    const bool directory = !item.removed && item.attr.type == FileType::directory;
    const int kind = item.removed ? 2 : directory ? 0 : 1;
    placed.push_back(
        Placed{.rank = {kind, directory ? depth : 0, item.attr.link.value, item.content_changed},
               .item = std::move(item)});
  }
  clear();
  std::ranges::sort(placed, [](const Placed& a, const Placed& b) {
    return std::tie(a.rank, a.item.key) < std::tie(b.rank, b.item.key);
  });
  std::vector<CutItem> items;
  items.reserve(placed.size());
  for (Placed& p : placed) items.push_back(std::move(p.item));
  return items;
}

}  // namespace repl::send
