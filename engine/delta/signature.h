// signature.h: rolling signatures: a weak and a strong sum of every block of a content, in
// librsync's format.
//
// Blocks have a power-of-two length from 4 KiB to limits::block_bytes, so they nest in the blocks
// of digests: of a content that changed here and there only what lies in changed blocks is summed
// again, the rest is kept from the signature before.
//
// Layout: magic, block length, strong length (4 bytes each, big-endian), then for each block 4
// bytes of weak and 16 of strong sum. A block's sums are of its bytes alone. Source: librsync 2.3,
// RS_RK_BLAKE2_SIG_MAGIC, doc/format.md.
//
// Thread: values, one owner each.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace repl::delta {

inline constexpr size_t signature_header_bytes = 12;
inline constexpr size_t strong_sum_bytes = 16;
inline constexpr size_t block_sum_bytes = 4 + strong_sum_bytes;

// Reads up to `size` bytes at `offset` into `buffer`; short only at the end.
using ReadAt = std::function<Result<size_t>(uint64_t offset, char* buffer, size_t size)>;

// The block length of a signature of a content of `size` bytes: 4 KiB up to 256 MiB, so that the
// signature (20 bytes a block) stays within 0.5 % of the content; then about a quarter of the
// square root.
[[nodiscard]] size_t rolling_block_bytes(uint64_t size);
// Bytes of the signature of such a content.
[[nodiscard]] uint64_t signature_bytes(uint64_t size);

// A signature made front to back.
class SignatureBuilder {
 public:
  // Of a content of `size` bytes, at most limits::rolling_bytes_max: a larger one is refused by add
  // and keep.
  explicit SignatureBuilder(uint64_t size);

  // The next bytes: whole blocks of limits::block_bytes, but at the end.
  [[nodiscard]] Status add(std::string_view bytes);
  // The next `length` bytes (as add has them) are what the content of `old` has at the same place.
  // False, and nothing was taken: `old` is of another block length, or too short.
  [[nodiscard]] bool keep(std::string_view old, uint64_t length);
  [[nodiscard]] uint64_t offset() const { return offset_; }
  [[nodiscard]] std::string take() { return std::move(signature_); }

 private:
  uint64_t size_;
  size_t block_bytes_;
  uint64_t offset_ = 0;
  std::string signature_;
};

// The whole at once. A content that is shorter than `size` is taken as it is.
[[nodiscard]] Result<std::string> make_signature(uint64_t size, const ReadAt& read);

}  // namespace repl::delta
