// frame.h: the bytes of one direction of a connection behind the banner (docs/PROTOCOL.md).
//
//   segment: u32 wire_bytes | u32 plain_bytes | u8 coding | u8[3] zero | wire_bytes bytes
//   frame:   u32 payload_bytes | u32 body_bytes | u8 kind | u8 lane | u16 zero | body | raw
//
// All numbers little-endian. A segment holds whole frames, either as they are (coding 0) or as the
// next flushed piece of the one zstd stream of this direction (coding 1). Incompressible contents
// go in segments of their own, so that they cost the compressor nothing.
//
// Hostile input: lengths are checked before anything is buffered, a segment may not unfold to more
// than it declares, the declared size is bounded, and the window is bounded by
// limits::zstd_window_log_max.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/model/lane.h"
#include "transport/codec.h"
#include "transport/codec_limits.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace repl::transport {

inline constexpr size_t segment_header_bytes = 12;
inline constexpr size_t segment_bytes_target =
    limits::write_bytes_max;  // a segment is closed beyond this
inline constexpr size_t segment_bytes_max = limits::frame_bytes_max + segment_bytes_target;

enum class Coding : uint8_t { plain = 0, zstd = 1 };

struct FrameHeader {
  uint32_t payload_bytes = 0;
  uint32_t body_bytes = 0;  // of the payload; the rest is the raw part
  uint8_t kind = 0;
  uint8_t lane = 0;
};

// Frames to bytes.
class FrameWriter {
 public:
  // `zstd_level` 0: nothing is compressed.
  explicit FrameWriter(int zstd_level);
  ~FrameWriter();
  FrameWriter(const FrameWriter&) = delete;
  FrameWriter& operator=(const FrameWriter&) = delete;

  void add(const Payload& payload, uint8_t lane);
  // Ends the burst: everything added is in the result, and the reader can take it apart. The buffer
  // is the writer's, valid until the next add().
  [[nodiscard]] std::string_view finish();
  [[nodiscard]] size_t plain_bytes() const { return plain_bytes_; }  // of this burst
  [[nodiscard]] size_t wire_bytes() const { return used_; }          // of this burst, so far

 private:
  void open_segment(Coding coding);
  void close_segment();
  void append(std::string_view bytes);
  void compress(std::string_view bytes, bool flush);
  void reserve(size_t more);

  ZSTD_CCtx_s* zstd_ = nullptr;
  std::vector<char> out_;
  size_t used_ = 0;
  size_t segment_at_ = 0;
  size_t segment_plain_ = 0;
  size_t plain_bytes_ = 0;
  Coding coding_ = Coding::plain;
  bool segment_open_ = false;
  bool finished_ = false;
};

// Bytes to frames.
class FrameReader {
 public:
  // The views are valid during the call. An error ends the stream.
  using OnFrame =
      std::function<Status(const FrameHeader&, std::string_view body, std::string_view raw)>;

  explicit FrameReader(OnFrame on_frame);
  ~FrameReader();
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;

  // Any piece of the stream. Error{protocol} is final.
  [[nodiscard]] Status feed(std::string_view bytes);
  [[nodiscard]] uint64_t plain_bytes() const { return plain_bytes_; }

 private:
  [[nodiscard]] Result<size_t> take_segment(std::string_view bytes);
  [[nodiscard]] Status frames(std::string_view plain);
  [[nodiscard]] Result<std::string_view> decompress(std::string_view packed, size_t plain_bytes);

  OnFrame on_frame_;
  ZSTD_DCtx_s* zstd_;
  std::string pending_;  // an incomplete segment; at most one
  std::vector<char> plain_;
  uint64_t plain_bytes_ = 0;
};

// Whether compressing would be wasted: estimated from the distribution of bytes in a few samples.
[[nodiscard]] bool looks_incompressible(std::string_view bytes);

}  // namespace repl::transport
