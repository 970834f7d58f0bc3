// rolling.h: librsync's rolling-checksum search, with its work bounded.
//
// A signature comes from a peer: block length, strong length, size and the number of equal weak
// sums are checked before librsync sees it (its table degrades to quadratic work on hostile ones).
// The delta that librsync makes is parsed in total: every length is checked.
//
// Thread: values, one owner each. Source: librsync 2.3 (job API), RS_RK_BLAKE2_SIG_MAGIC,
// doc/format.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/ids.h"

namespace repl::delta {

// Reads up to `size` bytes at `offset` into `buffer`; short only at the end.
using ReadAt = std::function<Result<size_t>(uint64_t offset, char* buffer, size_t size)>;

// The block length of a signature of a content of `size` bytes: at least 4 KiB, so that the
// signature (20 bytes a block) stays within 0.5 % of the content; a quarter of the square root
// beyond 256 MiB.
[[nodiscard]] size_t rolling_block_bytes(uint64_t size);

// Signature of a content of `size` bytes; at most 0.5 % of it and limits::signature_bytes_max.
[[nodiscard]] Result<std::string> make_signature(uint64_t size, const ReadAt& read);

// What to do, front to back, to build the target from the base.
struct CopyCommand {
  uint64_t base_offset = 0;
  uint64_t length = 0;
};
struct LiteralCommand {
  std::string_view bytes;  // valid during the call; at most limits::data_chunk_bytes_max
};
// Adjacent copies arrive as one. An Error from a callback ends the search with it.
struct DeltaSink {
  std::function<Status(const CopyCommand&)> copy;
  std::function<Status(const LiteralCommand&)> literal;
};

// The search, fed front to back in pieces of any size.
class RollingSearch {
 public:
  // `invalid` for a malformed signature, `limit` for one whose search could not be bounded.
  [[nodiscard]] static Result<RollingSearch> open(std::string_view signature);
  ~RollingSearch();
  RollingSearch(RollingSearch&&) noexcept;
  RollingSearch& operator=(RollingSearch&&) noexcept;

  // ErrorCode::limit when the search has cost more processor time than the content is worth:
  // librsync degrades on contents made of many equal weak sums. What the sink was told until then
  // is right; the caller sends the rest as it is.
  [[nodiscard]] Status feed(std::string_view bytes, const DeltaSink& sink);
  // No more bytes: what is still held is decided and told.
  [[nodiscard]] Status finish(const DeltaSink& sink);

 private:
  struct State;
  explicit RollingSearch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The whole of a target at once.
[[nodiscard]] Status make_delta(std::string_view signature, uint64_t target_size,
                                const ReadAt& target, const DeltaSink& sink);

}  // namespace repl::delta
