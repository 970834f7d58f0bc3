// byte_ranges.h: places of a file, sorted and disjoint; what touches is one.
//
// Thread: one owner. Memory: one node per range; the owner asks count() and gives up.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "engine/base/error.h"

namespace repl::apply {

class ByteRanges {
 public:
  void add(uint64_t offset, uint64_t length);
  void add(const ByteRanges& other);
  [[nodiscard]] size_t count() const { return ends_.size(); }
  // In order, no byte at or after `end`; the first error stops.
  [[nodiscard]] Status each(uint64_t end,
                            const std::function<Status(uint64_t offset, uint64_t length)>&) const;

 private:
  std::map<uint64_t, uint64_t> ends_;  // by start
};

}  // namespace repl::apply
