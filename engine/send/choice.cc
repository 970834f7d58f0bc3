#include "engine/send/choice.h"

#include <string>

#include "engine/base/limits.h"
#include "engine/model/hash.h"

namespace repl::send {

namespace {
constexpr int ranges_looked_at_max = 256;
}

std::optional<delta::Overlap> overlap_with(ContentHandle& handle, std::span<const Digest> base,
                                           uint64_t base_size) {
  std::string bytes(limits::block_bytes, '\0');
  bool readable = true;
  const auto equal = [&](uint64_t index) {
    const Result<size_t> got =
        handle.read_at(index * limits::block_bytes, bytes.data(), bytes.size());
    readable = readable && got.has_value();
    if (!got) return false;
    const Digest digest = hash_bytes(std::string_view(bytes).substr(0, *got));
    return delta::block_is_free(base, base_size, index, digest, *got);
  };
  const delta::Overlap overlap = delta::sample_overlap(base_size, handle.opened().attr.size, equal);
  return readable ? std::optional(overlap) : std::nullopt;
}

uint64_t data_bytes(ContentHandle& handle) {
  const uint64_t size = handle.opened().attr.size;
  uint64_t bytes = 0;
  uint64_t offset = 0;
  for (int i = 0; offset < size; ++i) {
    const Result<io::DataRange> data = handle.next_data(offset, size);
    if (!data || i == ranges_looked_at_max) return UINT64_MAX;
    if (data->end <= data->start) break;
    bytes += data->end - data->start;
    if (bytes > limits::inline_bytes_max) return UINT64_MAX;
    offset = data->end;
  }
  return bytes;
}

}  // namespace repl::send
