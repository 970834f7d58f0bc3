#include "engine/delta/strategy.h"

#include <algorithm>
#include <optional>
#include <string>

#include "engine/base/limits.h"
#include "engine/delta/signature.h"
#include "engine/model/hash.h"

namespace repl::delta {

namespace {

constexpr uint64_t samples_max = 64;
// A signature is asked for if it is this much smaller than what it may save.
constexpr uint64_t signature_worth = 8;

bool searchable(const ContentFacts& facts) {
  return facts.size <= limits::rolling_bytes_max && facts.base_size <= limits::rolling_bytes_max;
}

// Nothing: as a difference from the base, if that has anything in common with it.
std::optional<Method> without_base(const ContentFacts& facts) {
  if (facts.content_equal) return Method::metadata_only;
  if (facts.copy_available && facts.size > 0) return Method::copy;
  if (facts.size <= limits::inline_bytes_max) return Method::inline_whole;
  if (!facts.base_available || facts.base_size == 0) return Method::whole;
  if (facts.data_bytes <= limits::inline_bytes_max) return Method::whole;
  return std::nullopt;
}

}  // namespace

Method choose(const ContentFacts& facts) {
  if (const auto method = without_base(facts)) return *method;
  const Overlap& overlap = facts.overlap;
  const bool table = facts.table == At::hand;
  const bool all_match = table && overlap.matching == overlap.total;
  if (all_match && overlap.total > 0 && facts.size > facts.base_size) return Method::append;
  if (searchable(facts) && facts.signature == At::hand) return Method::rolling;
  const bool worth_asking =
      !table || overlap.shifted_bytes >= signature_worth * signature_bytes(facts.base_size);
  if (searchable(facts) && facts.signature == At::unasked && worth_asking) return Method::rolling;
  return table && overlap.matching > 0 ? Method::aligned : Method::whole;
}

Ask ask_first(const ContentFacts& facts) {
  if (without_base(facts)) return Ask::nothing;
  const uint64_t table_bytes = facts.base_size / limits::block_bytes * sizeof(Digest);
  if (facts.table == At::unasked && table_bytes <= limits::block_table_bytes_max) return Ask::table;
  const bool searched = choose(facts) == Method::rolling;
  return searched && facts.signature == At::unasked ? Ask::signature : Ask::nothing;
}

uint64_t shifted_bytes_max(const ContentFacts& facts) {
  if (!searchable(facts) || facts.signature != At::unasked) return UINT64_MAX;
  return facts.overlap.shifted_bytes + signature_worth * signature_bytes(facts.base_size);
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

bool block_is_free(std::span<const Digest> base, uint64_t base_size, uint64_t index,
                   const Digest& digest, uint64_t length) {
  static const Digest zeros = hash_bytes(std::string(limits::block_bytes, '\0'));
  return (length == limits::block_bytes && digest == zeros) ||
         block_equal(base, base_size, index, digest, length);
}

Overlap overlap_of(std::span<const Digest> base, std::span<const Digest> target, uint64_t base_size,
                   uint64_t target_size) {
  Overlap overlap{.total = std::min<uint64_t>(base_size, target_size) / limits::block_bytes};
  uint64_t run = 0;
  const auto end_run = [&] {
    if (run >= shift_run_blocks) overlap.shifted_bytes += run * limits::block_bytes;
    run = 0;
  };
  for (uint64_t i = 0; i < overlap.total; ++i) {
    if (block_is_free(base, base_size, i, target[i], limits::block_bytes)) {
      ++overlap.matching;
      end_run();
    } else {
      ++run;
    }
  }
  end_run();
  return overlap;
}

Overlap sample_overlap(uint64_t base_size, uint64_t target_size,
                       const std::function<bool(uint64_t index)>& equal) {
  const uint64_t blocks = std::min(base_size, target_size) / limits::block_bytes;
  if (blocks == 0) return {};
  const auto shifted_at = [&](uint64_t index) {
    if (blocks < shift_run_blocks) return false;
    const uint64_t first = std::min(index, blocks - shift_run_blocks);
    for (uint64_t i = first; i < first + shift_run_blocks; ++i) {
      if (i != index && equal(i)) return false;
    }
    return true;
  };
  const uint64_t samples = std::min(blocks, samples_max);
  Overlap overlap;
  uint64_t shifted = 0;
  for (uint64_t i = 0; i < samples; ++i) {
    const uint64_t index = (2 * i + 1) * blocks / (2 * samples);
    ++overlap.total;
    if (equal(index))
      ++overlap.matching;
    else if (shifted_at(index))
      ++shifted;
  }
  ++overlap.total;
  if (equal(blocks - 1)) ++overlap.matching;
  overlap.shifted_bytes = blocks * shifted / samples * limits::block_bytes;
  return overlap;
}

}  // namespace repl::delta
