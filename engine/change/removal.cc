// removal.cc: the part of Observer that records what is gone, and what that means for the other
// names of its files.
#include <utility>

#include "engine/change/observer.h"

namespace repl::change {

std::set<LinkId> Observer::links_of(const Entry& entry) const {
  std::set<LinkId> links;
  if (entry.attr.link.is_set()) links.insert(entry.attr.link);
  std::vector<DirId> below;
  if (entry.attr.type == FileType::directory) below.push_back(entry.attr.dir);
  while (!below.empty()) {
    const DirId dir = below.back();
    below.pop_back();
    parts_.index.for_children(dir, [&](std::string_view, const Entry& child) {
      if (child.attr.type == FileType::directory) below.push_back(child.attr.dir);
      if (child.attr.link.is_set()) links.insert(child.attr.link);
      return true;
    });
  }
  return links;
}

std::vector<CutItem> Observer::record_removal(const Key& key, CutNumber cut) {
  std::vector<CutItem> items;
  const std::optional<Entry> old = parts_.index.get(key);
  if (!old) return items;
  items.push_back(CutItem{.key = key,
                          .removed = true,
                          .destroys = true,
                          .attr = {},
                          .base_content = old->attr.content,
                          .base_size = old->attr.size,
                          .bytes = {},
                          .copy_from = {}});
  const std::set<LinkId> links = links_of(*old);
  parts_.index.remove(key, cut);
  if (old->attr.type == FileType::directory) parts_.dirs.forget(old->attr.dir);
  for (const LinkId link : links) {
    const std::vector<Key> left = parts_.index.keys_of_link(link);
    for (const Key& other : left) {
      std::optional<Entry> entry = parts_.index.get(other);
      if (!entry) continue;
      if (left.size() == 1) entry->attr.link = LinkId{};
      entry->attr.link_names = static_cast<uint32_t>(left.size());
      entry->cut = cut;
      parts_.index.put(other, *entry);
      items.push_back(CutItem{.key = other,
                              .attr = entry->attr,
                              .base_content = entry->attr.content,
                              .base_size = entry->attr.size,
                              .bytes = {},
                              .copy_from = {}});
    }
  }
  return items;
}

}  // namespace repl::change
