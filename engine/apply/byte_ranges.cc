#include "engine/apply/byte_ranges.h"

#include <algorithm>

namespace repl::apply {

void ByteRanges::add(uint64_t offset, uint64_t length) {
  if (length == 0) return;
  uint64_t end = offset + length;
  auto next = ends_.upper_bound(offset);
  if (next != ends_.begin()) {
    const auto before = std::prev(next);
    if (before->second >= offset) {
      offset = before->first;
      end = std::max(end, before->second);
      next = ends_.erase(before);
    }
  }
  while (next != ends_.end() && next->first <= end) {
    end = std::max(end, next->second);
    next = ends_.erase(next);
  }
  ends_.emplace_hint(next, offset, end);
}

void ByteRanges::add(const ByteRanges& other) {
  for (const auto& [start, end] : other.ends_) add(start, end - start);
}

Status ByteRanges::each(uint64_t end,
                        const std::function<Status(uint64_t offset, uint64_t length)>& take) const {
  for (const auto& [start, stop] : ends_) {
    if (start >= end) break;
    if (Status took = take(start, std::min(stop, end) - start); !took) return took;
  }
  return {};
}

}  // namespace repl::apply
