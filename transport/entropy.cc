#include "transport/entropy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace repl::transport {

namespace {

constexpr size_t slices = 16;
constexpr size_t slice_bytes = entropy_sample_bytes / slices;
// Random bytes measure 7.95 with so small a sample; jpeg 7.85.
constexpr double bits_per_byte_min = 7.7;

class Sample {
 public:
  void add(std::string_view slice) {
    for (const char c : slice) ++counts_[static_cast<uint8_t>(c)];
    bytes_ += slice.size();
  }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] bool incompressible() const {
    if (bytes_ < entropy_sample_bytes) return false;
    double bits = 0;
    const auto total = static_cast<double>(bytes_);
    for (const uint32_t count : counts_) {
      if (count != 0) bits -= count * std::log2(count / total);
    }
    return bits / total >= bits_per_byte_min;
  }

 private:
  std::array<uint32_t, 256> counts_{};
  size_t bytes_ = 0;
};

}  // namespace

bool looks_incompressible(std::string_view bytes) {
  if (bytes.size() < entropy_sample_bytes) return false;
  Sample sample;
  const size_t stride = (bytes.size() - slice_bytes) / (slices - 1);
  for (size_t slice = 0; slice < slices; ++slice) {
    sample.add(bytes.substr(slice * stride, slice_bytes));
  }
  return sample.incompressible();
}

size_t incompressible_bytes(std::span<const std::string> pieces) {
  size_t found = 0;
  size_t small_bytes = 0;
  for (const std::string& piece : pieces) {
    if (piece.size() < entropy_sample_bytes) {
      small_bytes += piece.size();
    } else if (looks_incompressible(piece)) {
      found += piece.size();
    }
  }
  if (small_bytes < entropy_sample_bytes) return found;
  // Of each as much as is its share, from its middle: its first bytes are often a format's.
  Sample sample;
  for (const std::string& piece : pieces) {
    if (piece.size() >= entropy_sample_bytes || piece.empty()) continue;
    const size_t bytes = (piece.size() * entropy_sample_bytes + small_bytes - 1) / small_bytes;
    sample.add(std::string_view(piece).substr((piece.size() - bytes) / 2, bytes));
  }
  return found + (sample.incompressible() ? small_bytes : 0);
}

}  // namespace repl::transport
