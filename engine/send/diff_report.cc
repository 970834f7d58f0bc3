#include "engine/send/diff_report.h"

#include <algorithm>
#include <utility>

namespace repl::send {

bool DiffCounts::equal() const {
  return changed_meanwhile == 0 &&
         std::ranges::all_of(by_change, [](const DiffTally& tally) { return tally.items == 0; });
}

void DiffReport::add(DiffItem item, const std::function<void(DiffItem&)>& set_paths) {
  DiffTally& tally = counts_.by_change[static_cast<size_t>(item.change)];
  ++tally.items;
  tally.bytes += item.bytes;
  if (counts_.truncated) return;
  if (items_ == limits_.items) {
    counts_.truncated = true;
    return;
  }
  set_paths(item);
  const size_t bytes = item.path.size() + item.peer_path.size();
  if (bytes > limits_.item_bytes - item_bytes_) {
    counts_.truncated = true;
    return;
  }
  ++items_;
  item_bytes_ += bytes;
  found_(std::move(item));
}

}  // namespace repl::send
