// entropy.h: whether compressing would be wasted, from the distribution of bytes in a few samples.
//
// Thread: pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace repl::transport {

// Of fewer bytes too little is known.
inline constexpr size_t entropy_sample_bytes = 4096;

[[nodiscard]] bool looks_incompressible(std::string_view bytes);

// Of `pieces`, contents one beside the other: how many bytes look so. Large ones are judged alone,
// those below entropy_sample_bytes together.
[[nodiscard]] size_t incompressible_bytes(std::span<const std::string> pieces);

}  // namespace repl::transport
