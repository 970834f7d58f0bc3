// strategy.h: how a content travels, and what must be asked of the receiver to say so. Pure.
//
//   only metadata changed                    metadata_only
//   known to the receiver under another key  copy
//   small                                    inline_whole
//   grew, old blocks unchanged               append: the tail
//   edited in place                          aligned: blocks that differ from the base's
//   shifted                                  rolling: as aligned, and what differs is searched for
//                                            the base's blocks at other places
//   hardly any data, or nothing in common    whole: what is not a hole
//
// append, aligned and rolling are one way to send (ContentStreamer) with more or less of a search.
// Whether bytes are worth compressing is asked where they are packed (transport/entropy.h).
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "engine/base/ids.h"

namespace repl::delta {

enum class Method : uint8_t { metadata_only, inline_whole, copy, append, aligned, rolling, whole };

// Where the base's block table, or its rolling signature, is to be had. `unasked`: the receiver can
// be asked for it, which costs a round trip, and for a signature the receiver a reading of the
// base.
enum class At : uint8_t { hand, unasked, nowhere };
enum class Ask : uint8_t { nothing, table, signature };

// How much of a content costs nothing where it is (block_is_free): of all blocks that both have, or
// of samples.
struct Overlap {
  uint64_t matching = 0;       // blocks
  uint64_t total = 0;          // blocks looked at
  uint64_t shifted_bytes = 0;  // in runs of shift_run_blocks and more that all differ; an estimate
};
// An edit in place rarely covers so many blocks; after an insertion all that follow differ.
inline constexpr uint64_t shift_run_blocks = 4;

struct ContentFacts {
  uint64_t size = 0;            // of the new content
  bool content_equal = false;   // the receiver has it under this key already
  bool copy_available = false;  // the receiver has it under another key
  bool base_available = false;  // the receiver has an older content under this key
  uint64_t base_size = 0;
  uint64_t data_bytes = UINT64_MAX;  // of the new content, not in holes
  At table = At::unasked;            // of the base: its block digests
  Overlap overlap;                   // if it is at hand
  At signature = At::unasked;
};
// As far as the facts are known; what is unasked counts as not to be had, but that `rolling` is
// chosen where a signature would be asked for.
[[nodiscard]] Method choose(const ContentFacts& facts);
// What must be asked before the choice holds.
[[nodiscard]] Ask ask_first(const ContentFacts& facts);
// Of `aligned` and `append`: more of the base's bytes than so many found changed, in runs of
// shift_run_blocks and more, and asking for a signature would have paid: what the choice was made
// from is not true any more. UINT64_MAX: there is none to be had.
[[nodiscard]] uint64_t shifted_bytes_max(const ContentFacts& facts);

// From whole tables.
[[nodiscard]] Overlap overlap_of(std::span<const Digest> base, std::span<const Digest> target,
                                 uint64_t base_size, uint64_t target_size);
// From samples spread evenly over the blocks that both contents have whole, and the last of them;
// `equal` looks at one block.
[[nodiscard]] Overlap sample_overlap(uint64_t base_size, uint64_t target_size,
                                     const std::function<bool(uint64_t index)>& equal);

// Whether block `index` of a content with this digest is the base's block there. Lengths count: a
// short last block is equal only to one as short.
[[nodiscard]] bool block_equal(std::span<const Digest> base, uint64_t base_size, uint64_t index,
                               const Digest& digest, uint64_t length);
// Whether the block costs nothing where it is: it is the base's, or zeros, which travel as a hole.
[[nodiscard]] bool block_is_free(std::span<const Digest> base, uint64_t base_size, uint64_t index,
                                 const Digest& digest, uint64_t length);
// Bytes of block `index` of a content of `size` bytes.
[[nodiscard]] uint64_t block_length(uint64_t size, uint64_t index);

}  // namespace repl::delta
