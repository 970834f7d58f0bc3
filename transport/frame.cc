#include "transport/frame.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "engine/base/bytes.h"
#include "engine/base/check.h"

namespace repl::transport {

namespace {

// Contents below this are always compressed: history makes them small, and a segment of their own
// costs.
constexpr size_t incompressible_bytes_min = 4096;

std::unexpected<Error> broken(std::string_view what) {
  return fail(ErrorCode::protocol, "broke the protocol: " + std::string(what), Remedy::reconnect);
}

void put_u32(char* at, uint32_t value) { std::memcpy(at, &value, sizeof value); }

bool pass_through(const Payload& payload) {
  if (payload.raw_bytes < incompressible_bytes_min) return false;
  size_t incompressible = 0;
  for (const std::string& piece : payload.raw) {
    if (piece.size() >= incompressible_bytes_min && looks_incompressible(piece)) {
      incompressible += piece.size();
    }
  }
  return incompressible > payload.size() / 2;
}

}  // namespace

bool looks_incompressible(std::string_view bytes) {
  constexpr size_t slices = 16;
  constexpr size_t slice_bytes = 256;
  constexpr double bits_per_byte_min =
      7.7;  // random bytes measure 7.95 with so small a sample; jpeg 7.85
  if (bytes.size() < slices * slice_bytes) return false;
  std::array<uint32_t, 256> counts{};
  const size_t stride = (bytes.size() - slice_bytes) / (slices - 1);
  for (size_t slice = 0; slice < slices; ++slice) {
    for (const char c : bytes.substr(slice * stride, slice_bytes))
      ++counts[static_cast<uint8_t>(c)];
  }
  double bits = 0;
  constexpr double total = slices * slice_bytes;
  for (const uint32_t count : counts) {
    if (count != 0) bits -= count * std::log2(count / total);
  }
  return bits / total >= bits_per_byte_min;
}

FrameWriter::FrameWriter(int zstd_level) {
  if (zstd_level == 0) return;
  zstd_ = ZSTD_createCCtx();
  REPL_CHECK(zstd_ != nullptr);
  ZSTD_CCtx_setParameter(zstd_, ZSTD_c_compressionLevel, zstd_level);
  // Beyond the default of low levels, so that small files share more history.
  constexpr int window_log = 21;
  static_assert(window_log <= limits::zstd_window_log_max);
  ZSTD_CCtx_setParameter(zstd_, ZSTD_c_windowLog, window_log);
  ZSTD_CCtx_setParameter(zstd_, ZSTD_c_checksumFlag, 0);
}

FrameWriter::~FrameWriter() { ZSTD_freeCCtx(zstd_); }

void FrameWriter::reserve(size_t more) {
  if (out_.size() - used_ < more) out_.resize(std::max(used_ + more, out_.size() * 2));
}

void FrameWriter::open_segment(Coding coding) {
  reserve(segment_header_bytes);
  coding_ = coding;
  segment_open_ = true;
  segment_at_ = used_;
  segment_plain_ = 0;
  used_ += segment_header_bytes;
}

void FrameWriter::close_segment() {
  if (!segment_open_) return;
  if (coding_ == Coding::zstd) compress({}, true);
  char* header = out_.data() + segment_at_;
  put_u32(header, static_cast<uint32_t>(used_ - segment_at_ - segment_header_bytes));
  put_u32(header + 4, static_cast<uint32_t>(segment_plain_));
  put_u32(header + 8, static_cast<uint32_t>(coding_));
  segment_open_ = false;
}

void FrameWriter::compress(std::string_view bytes, bool flush) {
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  for (;;) {
    reserve(ZSTD_CStreamOutSize());
    ZSTD_outBuffer out{out_.data(), out_.size(), used_};
    const size_t left =
        ZSTD_compressStream2(zstd_, &out, &in, flush ? ZSTD_e_flush : ZSTD_e_continue);
    REPL_CHECK(ZSTD_isError(left) == 0);
    used_ = out.pos;
    if (flush ? left == 0 : in.pos == in.size) return;
  }
}

void FrameWriter::append(std::string_view bytes) {
  segment_plain_ += bytes.size();
  plain_bytes_ += bytes.size();
  if (coding_ == Coding::zstd) {
    compress(bytes, false);
    return;
  }
  if (bytes.empty()) return;
  reserve(bytes.size());
  std::memcpy(out_.data() + used_, bytes.data(), bytes.size());
  used_ += bytes.size();
}

void FrameWriter::add(const Payload& payload, uint8_t lane) {
  REPL_CHECK(payload.size() <= payload_bytes_max);
  if (finished_) {
    finished_ = false;
    used_ = 0;
    plain_bytes_ = 0;
    // One large frame must not pin memory for the life of an idle connection.
    if (out_.size() > 2 * segment_bytes_target) std::vector<char>().swap(out_);
  }
  const Coding coding = zstd_ == nullptr || pass_through(payload) ? Coding::plain : Coding::zstd;
  if (segment_open_ && (coding != coding_ || segment_plain_ >= segment_bytes_target))
    close_segment();
  if (!segment_open_) open_segment(coding);
  std::array<char, frame_header_bytes> header{};
  put_u32(header.data(), static_cast<uint32_t>(payload.size()));
  put_u32(header.data() + 4, static_cast<uint32_t>(payload.body.size()));
  header[8] = static_cast<char>(payload.kind);
  header[9] = static_cast<char>(lane);
  append({header.data(), header.size()});
  append(payload.body);
  for (const std::string& piece : payload.raw) append(piece);
}

std::string_view FrameWriter::finish() {
  close_segment();
  finished_ = true;
  return {out_.data(), used_};
}

FrameReader::FrameReader(OnFrame on_frame)
    : on_frame_(std::move(on_frame)), zstd_(ZSTD_createDCtx()) {
  REPL_CHECK(zstd_ != nullptr);
  ZSTD_DCtx_setParameter(zstd_, ZSTD_d_windowLogMax, limits::zstd_window_log_max);
}

FrameReader::~FrameReader() { ZSTD_freeDCtx(zstd_); }

Status FrameReader::feed(std::string_view bytes) {
  // A segment that arrives whole is taken apart where it lies; else it is collected first.
  if (!pending_.empty()) {
    while (!bytes.empty() && !pending_.empty()) {
      size_t wanted = segment_header_bytes;
      if (pending_.size() >= segment_header_bytes) {
        wanted += ByteReader(pending_).u32();
      }
      const size_t more = std::min(bytes.size(), wanted - pending_.size());
      pending_.append(bytes.substr(0, more));
      bytes.remove_prefix(more);
      auto taken = take_segment(pending_);
      if (!taken) return fail(std::move(taken.error()));
      if (*taken != 0) pending_.clear();
    }
    if (pending_.empty() && pending_.capacity() > 2 * segment_bytes_target)
      pending_.shrink_to_fit();
  }
  while (!bytes.empty()) {
    auto taken = take_segment(bytes);
    if (!taken) return fail(std::move(taken.error()));
    if (*taken == 0) {
      pending_.assign(bytes);
      return {};
    }
    bytes.remove_prefix(*taken);
  }
  return {};
}

// The bytes of the segment at the start of `bytes`, once it has been taken apart; 0 if it is not
// whole yet.
Result<size_t> FrameReader::take_segment(std::string_view bytes) {
  if (bytes.size() < segment_header_bytes) return size_t{0};
  ByteReader header(bytes.substr(0, segment_header_bytes));
  const size_t wire = header.u32();
  const size_t plain = header.u32();
  const uint32_t coding = header.u32();
  if (plain > segment_bytes_max || wire > ZSTD_COMPRESSBOUND(segment_bytes_max)) {
    return broken("a segment that is too large");
  }
  if (coding > static_cast<uint32_t>(Coding::zstd)) return broken("an unknown coding");
  if (coding == static_cast<uint32_t>(Coding::plain) && plain != wire) {
    return broken("a segment of two lengths");
  }
  if (bytes.size() - segment_header_bytes < wire) return size_t{0};
  std::string_view content = bytes.substr(segment_header_bytes, wire);
  if (coding == static_cast<uint32_t>(Coding::zstd)) {
    auto unpacked = decompress(content, plain);
    if (!unpacked) return fail(std::move(unpacked.error()));
    content = *unpacked;
  }
  plain_bytes_ += content.size();
  if (auto status = frames(content); !status) return fail(std::move(status.error()));
  return segment_header_bytes + wire;
}

Result<std::string_view> FrameReader::decompress(std::string_view packed, size_t plain_bytes) {
  if (plain_.size() < plain_bytes || plain_.size() > 2 * segment_bytes_target) {
    plain_ = std::vector<char>(std::max(plain_bytes, segment_bytes_target));
  }
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  ZSTD_outBuffer out{plain_.data(), plain_bytes, 0};
  while (in.pos < in.size || out.pos < out.size) {
    const size_t in_before = in.pos;
    const size_t out_before = out.pos;
    if (ZSTD_isError(ZSTD_decompressStream(zstd_, &out, &in)) != 0) {
      return broken("compressed data that cannot be read");
    }
    if (in.pos == in_before && out.pos == out_before)
      return broken("compressed data of another size");
  }
  return std::string_view(plain_.data(), plain_bytes);
}

Status FrameReader::frames(std::string_view plain) {
  while (!plain.empty()) {
    ByteReader reader(plain.substr(0, std::min(plain.size(), frame_header_bytes)));
    FrameHeader header;
    header.payload_bytes = reader.u32();
    header.body_bytes = reader.u32();
    header.kind = reader.u8();
    header.lane = reader.u8();
    const uint16_t reserved = reader.u16();
    if (!reader.ok()) return broken("a frame that is cut off");
    plain.remove_prefix(frame_header_bytes);
    if (header.payload_bytes > payload_bytes_max) return broken("a frame that is too large");
    if (header.payload_bytes > plain.size()) return broken("a frame that is cut off");
    if (header.body_bytes > header.payload_bytes ||
        header.lane > static_cast<uint8_t>(Lane::background) || reserved != 0) {
      return broken("a malformed frame");
    }
    const std::string_view payload = plain.substr(0, header.payload_bytes);
    plain.remove_prefix(header.payload_bytes);
    auto status =
        on_frame_(header, payload.substr(0, header.body_bytes), payload.substr(header.body_bytes));
    if (!status) return status;
  }
  return {};
}

}  // namespace repl::transport
