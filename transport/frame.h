// frame.h: the bytes of one direction of a connection behind the banner (docs/PROTOCOL.md).
//
//   segment: u32 wire_bytes | u32 plain_bytes | u8 coding | u8[3] zero | wire_bytes bytes
//   frame:   u32 payload_bytes | u32 body_bytes | u8 kind | u8 lane | u16 zero | body | raw
//
// All numbers little-endian. A segment holds whole frames, either as they are (coding 0) or as the
// next flushed piece of the one zstd stream of this direction (coding 1; zstd_stream.h). What looks
// incompressible goes in segments of its own, so that it costs the compressor nothing.
//
// Hostile input: lengths are checked before anything is buffered, a segment may not unfold to more
// than it declares, the declared size is bounded, and the window is bounded by
// limits::zstd_window_log_max.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/error.h"
#include "engine/model/lane.h"
#include "transport/codec.h"
#include "transport/codec_limits.h"
#include "transport/zstd_stream.h"

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
  // What of a burst so far.
  struct Burst {
    size_t plain_bytes = 0;
    size_t compressible_bytes = 0;  // of the plain ones: contents that did not look otherwise
  };

  explicit FrameWriter(const Compression& compression) : wanted_(compression) {}

  // From the next frame that is compressed on. A change costs the history.
  void use(const Compression& compression) { wanted_ = compression; }
  // Gives the memory of the stream back: the next burst ends it, and begins another when something
  // is to be compressed.
  void rest() { resting_ = zstd_.in_frame(); }
  void add(const Payload& payload, uint8_t lane);
  // Ends the burst: everything added is in the result, and the reader can take it apart. The buffer
  // is the writer's, valid until the next add().
  [[nodiscard]] std::string_view finish();
  [[nodiscard]] const Compression& compression() const { return wanted_; }
  [[nodiscard]] const Burst& burst() const { return burst_; }  // the present or last one

 private:
  void begin_burst();
  void open_segment(Coding coding);
  void close_segment();
  void end_stream();
  void append(std::string_view bytes);

  Compression wanted_;
  ZstdWriter zstd_;
  OutBuffer out_;
  Burst burst_;
  size_t segment_at_ = 0;
  size_t segment_plain_ = 0;
  Coding coding_ = Coding::plain;
  bool segment_open_ = false;
  bool finished_ = false;
  bool resting_ = false;
};

// Bytes to frames.
class FrameReader {
 public:
  // The views are valid during the call. An error ends the stream.
  using OnFrame =
      std::function<Status(const FrameHeader&, std::string_view body, std::string_view raw)>;

  explicit FrameReader(OnFrame on_frame) : on_frame_(std::move(on_frame)) {}
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;

  // Any piece of the stream. Error{protocol} is final.
  [[nodiscard]] Status feed(std::string_view bytes);
  [[nodiscard]] uint64_t plain_bytes() const { return plain_bytes_; }
  [[nodiscard]] size_t memory_bytes() const { return zstd_.memory_bytes(); }  // of decompression

 private:
  [[nodiscard]] Result<size_t> take_segment(std::string_view bytes);
  [[nodiscard]] Status frames(std::string_view plain);

  OnFrame on_frame_;
  ZstdReader zstd_;
  std::string pending_;  // an incomplete segment; at most one
  uint64_t plain_bytes_ = 0;
};

}  // namespace repl::transport
