#include "engine/send/merge_cuts.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "engine/index/cut_items.h"

namespace repl::send {

namespace {

using SmallContents = std::unordered_map<Digest, std::shared_ptr<const std::string>>;

// Where it came from may be something else on the peer, or never have been there: what an earlier
// one of the cuts brought is brought under its newer name.
CutItem without_source(CutItem item, const SmallContents& small) {
  if (!item.copy_from) return item;
  item.copy_from.reset();
  const auto at = small.find(item.attr.content);
  if (!item.bytes && at != small.end()) item.bytes = at->second;
  return item;
}

}  // namespace

std::shared_ptr<const CutBatch> merge_cuts(const std::deque<std::shared_ptr<const CutBatch>>& cuts,
                                           const Index& index,
                                           const std::function<bool(const Key&)>& told) {
  CutItems items;
  SmallContents small;
  for (const auto& cut : cuts) {
    for (const CutItem& item : cut->items) {
      if (item.bytes && item.attr.content.is_set()) small[item.attr.content] = item.bytes;
      CutItem next = without_source(item, small);
      const auto at = items.find(item.key);
      if (at == items.end())
        items.emplace(item.key, std::move(next));
      else
        supersede(at->second, std::move(next));
    }
  }
  const CutBatch& last = *cuts.back();
  complete_link_groups(items, index, last.cut);
  for (auto& [key, item] : items) {
    if (told(key)) item.base_content = {};
  }
  auto merged = std::make_shared<CutBatch>();
  merged->cut = last.cut;
  merged->ordered = last.ordered;
  merged->content = last.content;
  merged->content_known = last.content_known;
  merged->items = in_order(std::move(items), index, [&](const CutItem& item) {
    return item.removed != index.contains(item.key);
  });
  return merged;
}

}  // namespace repl::send
