// choice.h: what a sender finds out about a content by looking at it here and there, before it
// chooses how the content travels (delta::choose).
//
// Thread: one owner. Cost: some hundred blocks read, some hundred lseek(2).
#pragma once

#include <optional>
#include <span>

#include "engine/delta/strategy.h"
#include "engine/send/content_source.h"

namespace repl::send {

// From samples. Nothing when the file cannot be read.
[[nodiscard]] std::optional<delta::Overlap> overlap_with(ContentHandle& handle,
                                                         std::span<const Digest> base,
                                                         uint64_t base_size);
// Bytes of the file that are not in holes, as far as a look at its first ranges tells: UINT64_MAX
// when there is more than limits::inline_bytes_max.
[[nodiscard]] uint64_t data_bytes(ContentHandle& handle);

}  // namespace repl::send
