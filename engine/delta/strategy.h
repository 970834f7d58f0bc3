// strategy.h: how a content travels. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/ids.h"

namespace repl::delta {

enum class Method : uint8_t { metadata_only, inline_whole, copy, aligned, rolling, whole };

struct ContentFacts {
  uint64_t size = 0;            // of the new content
  bool content_equal = false;   // the receiver has it under this key already
  bool copy_available = false;  // the receiver has it under another key
  bool base_available = false;  // the receiver has an older content under this key
  uint64_t base_size = 0;
  bool table_available = false;  // and we know that content's block digests
  uint64_t blocks_matching = 0;  // aligned, of the new content's; may be an estimate from samples
  uint64_t blocks_total = 0;
  bool signature_refused = false;  // the receiver has no rolling signature of the base to give
};
[[nodiscard]] Method choose(const ContentFacts& facts);

// How many blocks of the target are the base's at the same place.
[[nodiscard]] uint64_t blocks_matching(std::span<const Digest> base, std::span<const Digest> target,
                                       uint64_t base_size, uint64_t target_size);
// Whether block `index` of a content with this digest is the base's block there. Lengths count: a
// short last block is equal only to one as short.
[[nodiscard]] bool block_equal(std::span<const Digest> base, uint64_t base_size, uint64_t index,
                               const Digest& digest, uint64_t length);
// Bytes of block `index` of a content of `size` bytes.
[[nodiscard]] uint64_t block_length(uint64_t size, uint64_t index);

}  // namespace repl::delta
