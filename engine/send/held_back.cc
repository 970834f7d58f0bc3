#include "engine/send/held_back.h"

#include <algorithm>
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

bool HeldBack::still_true(CutItem& item, CutNumber at) {
  const std::optional<Entry> entry = index_.get(item.key);
  later_ = later_ || (entry ? entry->cut > at : !item.removed);
  if (!entry) {  // a directory that moved on has no removal of its own
    item.removed = true;
    item.attr = {};
    return true;
  }
  if (item.removed || entry->attr.type != item.attr.type) return false;
  return entry->attr.dir == item.attr.dir;
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
  later_ = false;
  follow_moved_directories();
  complete_link_groups(items_, index_, at);
  std::vector<CutItem> items = in_order(std::exchange(items_, {}), index_,
                                        [&](CutItem& item) { return still_true(item, at); });
  clear();
  return items;
}

}  // namespace repl::send
