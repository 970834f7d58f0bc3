#include "transport/frame.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "transport/entropy.h"

namespace repl::transport {

namespace {

// Contents below this are always compressed: history makes them small, and a segment of their own
// costs.
constexpr size_t incompressible_bytes_min = 4096;
// Control frames and small acknowledgements.
constexpr size_t uncompressed_bytes_max = 64;

std::unexpected<Error> broken(std::string_view what) {
  return fail(ErrorCode::protocol, "broke the protocol: " + std::string(what), Remedy::reconnect);
}

void put_u32(char* at, uint32_t value) { std::memcpy(at, &value, sizeof value); }

bool pass_through(const Payload& payload) {
  if (payload.raw_bytes < incompressible_bytes_min) return false;
  return incompressible_bytes(payload.raw) > payload.size() / 2;
}

}  // namespace

void FrameWriter::open_segment(Coding coding) {
  coding_ = coding;
  segment_open_ = true;
  segment_at_ = out_.size();
  segment_plain_ = 0;
  static_cast<void>(out_.reserve(segment_header_bytes));
  out_.take(segment_header_bytes);
}

void FrameWriter::close_segment() {
  if (!segment_open_) return;
  if (coding_ == Coding::zstd && zstd_.in_frame()) zstd_.flush(out_);
  char* header = out_.at(segment_at_);
  put_u32(header, static_cast<uint32_t>(out_.size() - segment_at_ - segment_header_bytes));
  put_u32(header + 4, static_cast<uint32_t>(segment_plain_));
  put_u32(header + 8, static_cast<uint32_t>(coding_));
  segment_open_ = false;
}

void FrameWriter::append(std::string_view bytes) {
  segment_plain_ += bytes.size();
  burst_.plain_bytes += bytes.size();
  if (coding_ == Coding::zstd) {
    zstd_.append(bytes, out_);
  } else {
    out_.append(bytes);
  }
}

void FrameWriter::begin_burst() {
  finished_ = false;
  burst_ = {};
  // One large frame must not pin memory for the life of an idle connection.
  out_.clear(2 * segment_bytes_target);
}

// Its end belongs to a segment of the stream, which may hold nothing else.
void FrameWriter::end_stream() {
  if (segment_open_ && coding_ != Coding::zstd) close_segment();
  if (!segment_open_) open_segment(Coding::zstd);
  zstd_.end(out_);
}

void FrameWriter::add(const Payload& payload, uint8_t lane) {
  REPL_CHECK(payload.size() <= payload_bytes_max);
  if (finished_) begin_burst();
  const bool passes = pass_through(payload);
  if (!passes) burst_.compressible_bytes += payload.size();
  const bool ends =
      zstd_.in_frame() && (std::exchange(resting_, false) || zstd_.compression() != wanted_);
  // What is small, and alone, opens no stream: heartbeats of an idle connection need no memory.
  const bool small = payload.size() <= uncompressed_bytes_max && (ends || !zstd_.in_frame());
  const Coding coding = wanted_.level == 0 || passes || small ? Coding::plain : Coding::zstd;
  if (ends) end_stream();
  if (segment_open_ && (coding != coding_ || segment_plain_ >= segment_bytes_target))
    close_segment();
  if (!segment_open_) open_segment(coding);
  if (coding == Coding::zstd && !zstd_.in_frame()) zstd_.begin(wanted_);
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
  return out_.view();
}

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
    auto unpacked = zstd_.read(content, plain);
    if (!unpacked) return fail(std::move(unpacked.error()));
    content = *unpacked;
  }
  plain_bytes_ += content.size();
  if (auto status = frames(content); !status) return fail(std::move(status.error()));
  return segment_header_bytes + wire;
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
