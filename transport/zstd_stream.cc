#include "transport/zstd_stream.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "engine/base/check.h"

namespace repl::transport {

namespace {

// Of plain bytes; beyond it the buffer is given back once it is not needed any more.
constexpr size_t plain_bytes_kept = 2 * limits::write_bytes_max;
// Of a decompressor between frames; beyond it the memory is given back.
constexpr size_t reader_bytes_kept = size_t{4} << limits::zstd_window_log_initial;

}  // namespace

size_t OutBuffer::reserve(size_t more) {
  if (bytes_.size() - used_ < more) bytes_.resize(std::max(used_ + more, bytes_.size() * 2));
  return bytes_.size() - used_;
}

void OutBuffer::append(std::string_view bytes) {
  if (bytes.empty()) return;
  static_cast<void>(reserve(bytes.size()));
  std::memcpy(end(), bytes.data(), bytes.size());
  take(bytes.size());
}

void OutBuffer::clear(size_t keep_bytes) {
  used_ = 0;
  if (bytes_.size() > keep_bytes) std::vector<char>().swap(bytes_);
}

ZstdWriter::~ZstdWriter() { ZSTD_freeCCtx(context_); }

void ZstdWriter::begin(const Compression& compression) {
  REPL_CHECK(!in_frame() && compression.level != 0);
  compression_ = compression;
  context_ = ZSTD_createCCtx();
  REPL_CHECK(context_ != nullptr);
  const auto set = [this](ZSTD_cParameter what, int value) {
    REPL_CHECK(ZSTD_isError(ZSTD_CCtx_setParameter(context_, what, value)) == 0);
  };
  set(ZSTD_c_compressionLevel, compression.level);
  // Beyond the default of low levels, so that small files share more history.
  set(ZSTD_c_windowLog, compression.window_log);
  if (compression.long_distance) set(ZSTD_c_enableLongDistanceMatching, 1);
  set(ZSTD_c_checksumFlag, 0);
}

void ZstdWriter::append(std::string_view bytes, OutBuffer& out) {
  compress(bytes, Then::go_on, out);
}

void ZstdWriter::flush(OutBuffer& out) { compress({}, Then::flush, out); }

void ZstdWriter::end(OutBuffer& out) {
  compress({}, Then::end, out);
  ZSTD_freeCCtx(context_);
  context_ = nullptr;
}

void ZstdWriter::compress(std::string_view bytes, Then then, OutBuffer& out) {
  REPL_CHECK(in_frame());
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  const ZSTD_EndDirective directive = then == Then::end     ? ZSTD_e_end
                                      : then == Then::flush ? ZSTD_e_flush
                                                            : ZSTD_e_continue;
  for (;;) {
    const size_t room = out.reserve(ZSTD_CStreamOutSize());
    ZSTD_outBuffer into{out.end(), room, 0};
    const size_t left = ZSTD_compressStream2(context_, &into, &in, directive);
    REPL_CHECK(ZSTD_isError(left) == 0);
    out.take(into.pos);
    if (then == Then::go_on ? in.pos == in.size : left == 0) return;
  }
}

ZstdReader::ZstdReader() { renew(); }

ZstdReader::~ZstdReader() { ZSTD_freeDCtx(context_); }

void ZstdReader::renew() {
  ZSTD_freeDCtx(context_);
  context_ = ZSTD_createDCtx();
  REPL_CHECK(context_ != nullptr);
  ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, limits::zstd_window_log_max);
}

Result<std::string_view> ZstdReader::read(std::string_view packed, size_t plain_bytes) {
  const auto broken = [](const char* what) {
    return fail(ErrorCode::protocol, std::string("broke the protocol: compressed data ") + what,
                Remedy::reconnect);
  };
  if (plain_.size() < plain_bytes || plain_.size() > plain_bytes_kept) {
    plain_ = std::vector<char>(std::max(plain_bytes, limits::write_bytes_max));
  }
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  ZSTD_outBuffer out{plain_.data(), plain_bytes, 0};
  size_t state = 1;  // 0: a frame has ended and all of it was written
  while (in.pos < in.size || out.pos < out.size) {
    const size_t in_before = in.pos;
    const size_t out_before = out.pos;
    state = ZSTD_decompressStream(context_, &out, &in);
    if (ZSTD_isError(state) != 0) return broken("that cannot be read");
    if (in.pos == in_before && out.pos == out_before) return broken("of another size");
  }
  if (state == 0 && memory_bytes() > reader_bytes_kept) renew();
  return std::string_view(plain_.data(), plain_bytes);
}

size_t ZstdReader::memory_bytes() const { return ZSTD_sizeof_DCtx(context_); }

}  // namespace repl::transport
