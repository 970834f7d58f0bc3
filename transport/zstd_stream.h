// zstd_stream.h: the zstd streams of the two directions of a connection: concatenated zstd frames,
// any of which may use another level and window. zstd 1.5 takes a new level or window in a single
// thread only between frames (ZSTD_CCtx_setParameter), so a change costs the history and is rare.
//
// Bounds: a compressor has the memory of its Compression (compression.h) while a frame is open, and
// none between frames; a decompressor that of the window that the frame declares, at most
// 2^limits::zstd_window_log_max and 0.5 MiB, until a segment that ends with the frame.
//
// Thread: one.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "transport/compression.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace repl::transport {

// Bytes that grow at their end without being initialised twice.
class OutBuffer {
 public:
  [[nodiscard]] size_t size() const { return used_; }
  [[nodiscard]] char* at(size_t place) { return bytes_.data() + place; }
  [[nodiscard]] std::string_view view() const { return {bytes_.data(), used_}; }
  // Room for at least `more` bytes behind the end; take() says how many were used.
  [[nodiscard]] size_t reserve(size_t more);
  [[nodiscard]] char* end() { return bytes_.data() + used_; }
  void take(size_t bytes) { used_ += bytes; }
  void append(std::string_view bytes);
  // Begins anew; memory beyond `keep_bytes` is given back.
  void clear(size_t keep_bytes);

 private:
  std::vector<char> bytes_;
  size_t used_ = 0;
};

class ZstdWriter {
 public:
  ZstdWriter() = default;
  ~ZstdWriter();
  ZstdWriter(const ZstdWriter&) = delete;
  ZstdWriter& operator=(const ZstdWriter&) = delete;

  [[nodiscard]] bool in_frame() const { return context_ != nullptr; }
  [[nodiscard]] const Compression& compression() const { return compression_; }
  // Begins a frame. Not while one is open.
  void begin(const Compression& compression);
  void append(std::string_view bytes, OutBuffer& out);
  // What was appended can be read.
  void flush(OutBuffer& out);
  // Ends the frame and gives its memory back.
  void end(OutBuffer& out);

 private:
  enum class Then : uint8_t { go_on, flush, end };
  void compress(std::string_view bytes, Then then, OutBuffer& out);

  ZSTD_CCtx_s* context_ = nullptr;
  Compression compression_;
};

class ZstdReader {
 public:
  ZstdReader();
  ~ZstdReader();
  ZstdReader(const ZstdReader&) = delete;
  ZstdReader& operator=(const ZstdReader&) = delete;

  // The next piece of the stream, which unfolds to exactly `plain_bytes`. The view is valid until
  // the next call. Error{protocol} is final.
  [[nodiscard]] Result<std::string_view> read(std::string_view packed, size_t plain_bytes);
  [[nodiscard]] size_t memory_bytes() const;

 private:
  void renew();

  ZSTD_DCtx_s* context_ = nullptr;
  std::vector<char> plain_;
};

}  // namespace repl::transport
