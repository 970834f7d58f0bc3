#include "engine/base/escape.h"

#include <cstdint>

namespace repl {

namespace {

// Length of the valid UTF-8 sequence at the start of `bytes`, 0 if there is none (RFC 3629: no
// overlongs, no surrogates, nothing above U+10FFFF; C1 control characters count as invalid because
// terminals obey them).
size_t utf8_length(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const auto tail = [&](size_t i) { return i < bytes.size() && (at(i) & 0xC0) == 0x80; };
  const uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF && tail(1)) return lead == 0xC2 && at(1) < 0xA0 ? 0 : 2;
  if (lead >= 0xE0 && lead <= 0xEF && tail(1) && tail(2)) {
    if (lead == 0xE0 && at(1) < 0xA0) return 0;
    if (lead == 0xED && at(1) > 0x9F) return 0;
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4 && tail(1) && tail(2) && tail(3)) {
    if (lead == 0xF0 && at(1) < 0x90) return 0;
    if (lead == 0xF4 && at(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

std::string escape(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const auto byte = static_cast<uint8_t>(bytes[0]);
    const size_t length = utf8_length(bytes);
    if (byte == '\\') {
      out += "\\\\";
    } else if (length == 0 || byte < 0x20 || byte == 0x7F) {
      out += "\\x";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else {
      out += bytes.substr(0, length);
      bytes.remove_prefix(length);
      continue;
    }
    bytes.remove_prefix(1);
  }
  return out;
}

}  // namespace repl
