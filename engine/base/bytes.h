// bytes.h: the little-endian, length-prefixed encoding of index records and hashed structures.
//
// Reading is total: a short or malformed buffer makes ok() false and yields zeros, never reads
// outside.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "engine/base/ids.h"

namespace repl {

static_assert(std::endian::native == std::endian::little, "records are little-endian");

class ByteWriter {
 public:
  explicit ByteWriter(std::string& out) : out_(out) {}

  void u8(uint8_t v) { out_.push_back(static_cast<char>(v)); }
  void u16(uint16_t v) { raw(&v, sizeof v); }
  void u32(uint32_t v) { raw(&v, sizeof v); }
  void u64(uint64_t v) { raw(&v, sizeof v); }
  void i64(int64_t v) { raw(&v, sizeof v); }
  void bits(const Bits128& v) {
    u64(v.high);
    u64(v.low);
  }
  // LEB128.
  void varint(uint64_t v) {
    while (v >= 0x80) {
      u8(static_cast<uint8_t>(v | 0x80));
      v >>= 7;
    }
    u8(static_cast<uint8_t>(v));
  }
  void string(std::string_view v) {
    varint(v.size());
    out_.append(v);
  }
  // Big-endian, so that memcmp order is numeric order: for keys.
  void key64(uint64_t v) { u64(std::byteswap(v)); }

 private:
  void raw(const void* data, size_t size) { out_.append(static_cast<const char*>(data), size); }
  std::string& out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view in) : in_(in) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && in_.empty(); }
  [[nodiscard]] std::string_view rest() const { return in_; }

  uint8_t u8() { return fixed<uint8_t>(); }
  uint16_t u16() { return fixed<uint16_t>(); }
  uint32_t u32() { return fixed<uint32_t>(); }
  uint64_t u64() { return fixed<uint64_t>(); }
  int64_t i64() { return fixed<int64_t>(); }
  Bits128 bits() {
    Bits128 v;
    v.high = u64();
    v.low = u64();
    return v;
  }
  uint64_t varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = u8();
      if (!ok_) return 0;
      if (shift == 63 && byte > 1) break;
      v |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return v;
    }
    ok_ = false;
    return 0;
  }
  // A view into the buffer; empty on failure.
  std::string_view string() {
    const uint64_t size = varint();
    if (!ok_ || size > in_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view v = in_.substr(0, size);
    in_.remove_prefix(size);
    return v;
  }
  uint64_t key64() { return std::byteswap(u64()); }

 private:
  template <typename T>
  T fixed() {
    T v = 0;
    if (!ok_ || in_.size() < sizeof v) {
      ok_ = false;
      return 0;
    }
    std::memcpy(&v, in_.data(), sizeof v);
    in_.remove_prefix(sizeof v);
    return v;
  }
  std::string_view in_;
  bool ok_ = true;
};

}  // namespace repl
