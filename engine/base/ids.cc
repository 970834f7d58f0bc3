#include "engine/base/ids.h"

#include <string_view>

namespace repl {

std::string to_hex(const Bits128& bits) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text(32, '0');
  for (int i = 0; i < 16; ++i) {
    text[static_cast<size_t>(15 - i)] = digits[(bits.high >> (4 * i)) & 15];
    text[static_cast<size_t>(31 - i)] = digits[(bits.low >> (4 * i)) & 15];
  }
  return text;
}

bool from_hex(std::string_view text, Bits128& out) {
  if (text.size() != 32) return false;
  Bits128 bits;
  for (size_t i = 0; i < 32; ++i) {
    const char c = text[i];
    uint64_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint64_t>(c - 'a' + 10);
    } else {
      return false;
    }
    uint64_t& half = i < 16 ? bits.high : bits.low;
    half = half << 4 | digit;
  }
  out = bits;
  return true;
}

}  // namespace repl
