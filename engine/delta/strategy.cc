#include "engine/delta/strategy.h"

#include <algorithm>

#include "engine/base/limits.h"

namespace repl::delta {

Method choose(const ContentFacts& facts) {
  if (facts.content_equal) return Method::metadata_only;
  if (facts.copy_available && facts.size > 0) return Method::copy;
  if (facts.size <= limits::inline_bytes_max) return Method::inline_whole;
  if (!facts.base_available || facts.base_size == 0) return Method::whole;
  const bool counted = facts.table_available && facts.blocks_total > 0;
  if (counted && facts.blocks_matching * 2 >= facts.blocks_total) return Method::aligned;
  const bool searchable = facts.size <= limits::rolling_bytes_max &&
                          facts.base_size <= limits::rolling_bytes_max && !facts.signature_refused;
  if (searchable) return Method::rolling;
  return counted && facts.blocks_matching > 0 ? Method::aligned : Method::whole;
}

uint64_t block_length(uint64_t size, uint64_t index) {
  const uint64_t start = index * limits::block_bytes;
  return start >= size ? 0 : std::min<uint64_t>(limits::block_bytes, size - start);
}

bool block_equal(std::span<const Digest> base, uint64_t base_size, uint64_t index,
                 const Digest& digest, uint64_t length) {
  return index < base.size() && length > 0 && base[index] == digest &&
         block_length(base_size, index) == length;
}

uint64_t blocks_matching(std::span<const Digest> base, std::span<const Digest> target,
                         uint64_t base_size, uint64_t target_size) {
  uint64_t matching = 0;
  for (uint64_t i = 0; i < target.size(); ++i) {
    if (block_equal(base, base_size, i, target[i], block_length(target_size, i))) ++matching;
  }
  return matching;
}

}  // namespace repl::delta
