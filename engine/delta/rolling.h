// rolling.h: librsync's rolling-checksum search, with its work bounded.
//
// Thread: values. Source: librsync 2.3 (job API), RS_RK_BLAKE2_SIG_MAGIC.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/ids.h"

namespace repl::delta {

// Reads up to `size` bytes at `offset` into `buffer`; short only at the end.
using ReadAt = std::function<Result<size_t>(uint64_t offset, char* buffer, size_t size)>;

// Signature of a content of `size` bytes; about 0.3 % of it.
[[nodiscard]] Result<std::string> make_signature(uint64_t size, const ReadAt& read);

// What to do, front to back, to build the target from the base.
struct CopyCommand {
  uint64_t base_offset = 0;
  uint64_t length = 0;
};
struct LiteralCommand {
  std::string_view bytes;  // valid during the call; at most limits::data_chunk_bytes_max
};
struct DeltaSink {
  std::function<Status(const CopyCommand&)> copy;
  std::function<Status(const LiteralCommand&)> literal;
};
// Searches the target for blocks of the base. `work_bytes_max` bounds the bytes looked at: librsync degrades on
// contents made of many equal weak sums, then ErrorCode::limit, and the caller sends the content whole.
[[nodiscard]] Status make_delta(std::string_view signature, uint64_t target_size, const ReadAt& target,
                                const DeltaSink& sink);

}  // namespace repl::delta
