// strategy.h: how a content travels. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/ids.h"

namespace repl::delta {

enum class Method : uint8_t { metadata_only, inline_whole, copy, aligned, rolling, whole };

struct ContentFacts {
  uint64_t size = 0;             // of the new content
  bool content_equal = false;    // the receiver has it under this key already
  bool copy_available = false;   // the receiver has it under another key
  bool base_available = false;   // the receiver has an older content under this key
  uint64_t base_size = 0;
  bool table_available = false;  // and we know that content's block digests
  uint64_t blocks_matching = 0;  // aligned, of the new content's
  uint64_t blocks_total = 0;
};
[[nodiscard]] Method choose(const ContentFacts& facts);

// Byte ranges of the new content whose blocks are not the base's, merged, in order.
struct Range {
  uint64_t offset = 0;
  uint64_t length = 0;
};
[[nodiscard]] std::vector<Range> changed_ranges(std::span<const Digest> base, std::span<const Digest> target,
                                                uint64_t base_size, uint64_t target_size);

}  // namespace repl::delta
