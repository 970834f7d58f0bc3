#include "engine/delta/signature.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/base/limits.h"
#include "engine/delta/librsync_job.h"

namespace repl::delta {

namespace {

uint64_t sums_of(uint64_t bytes, size_t block_bytes) {
  return (bytes + block_bytes - 1) / block_bytes * block_sum_bytes;
}

void append_big_endian(std::string& out, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(v >> shift));
}

std::string header_of(size_t block_bytes) {
  std::string header;
  append_big_endian(header, RS_RK_BLAKE2_SIG_MAGIC);
  append_big_endian(header, static_cast<uint32_t>(block_bytes));
  append_big_endian(header, strong_sum_bytes);
  return header;
}

}  // namespace

size_t rolling_block_bytes(uint64_t size) {
  const auto wanted = static_cast<size_t>(std::sqrt(static_cast<double>(size)) / 4);
  return std::clamp(std::bit_ceil(wanted), limits::rolling_block_bytes_min, limits::block_bytes);
}

uint64_t signature_bytes(uint64_t size) {
  return signature_header_bytes + sums_of(size, rolling_block_bytes(size));
}

SignatureBuilder::SignatureBuilder(uint64_t size)
    : size_(size), block_bytes_(rolling_block_bytes(size)), signature_(header_of(block_bytes_)) {}

Status SignatureBuilder::add(std::string_view bytes) {
  if (size_ > limits::rolling_bytes_max || bytes.size() > size_ - offset_) {
    return fail(ErrorCode::limit, "signature: the content is too large for a rolling search");
  }
  if (bytes.empty()) return {};
  const Job job(rs_sig_begin(block_bytes_, strong_sum_bytes, RS_RK_BLAKE2_SIG_MAGIC));
  if (!job) return fail(ErrorCode::internal, "signature: librsync has no memory");
  size_t header_left = signature_header_bytes;
  const auto keep_sums = [&](std::string_view made) -> Status {
    const size_t skip = std::min(header_left, made.size());
    header_left -= skip;
    signature_.append(made.substr(skip));
    return {};
  };
  Status ran = run_job(job.get(), bytes, true, "signature", keep_sums);
  offset_ += bytes.size();
  return ran;
}

bool SignatureBuilder::keep(std::string_view old, uint64_t length) {
  if (size_ > limits::rolling_bytes_max || length > size_ - offset_) return false;
  if (!old.starts_with(std::string_view(signature_).substr(0, signature_header_bytes))) {
    return false;
  }
  const uint64_t from = signature_header_bytes + sums_of(offset_, block_bytes_);
  const uint64_t bytes = sums_of(length, block_bytes_);
  if (from > old.size() || bytes > old.size() - from) return false;
  signature_.append(old.substr(from, bytes));
  offset_ += length;
  return true;
}

Result<std::string> make_signature(uint64_t size, const ReadAt& read) {
  SignatureBuilder builder(size);
  if (size > limits::rolling_bytes_max) {
    return fail(ErrorCode::limit, "signature: the content is too large for a rolling search");
  }
  std::vector<char> buffer(limits::data_chunk_bytes_max);
  while (builder.offset() < size) {
    const auto want =
        static_cast<size_t>(std::min<uint64_t>(buffer.size(), size - builder.offset()));
    const Result<size_t> got = read(builder.offset(), buffer.data(), want);
    if (!got) return fail(got.error());
    if (Status added = builder.add({buffer.data(), *got}); !added) return fail(added.error());
    if (*got < want) break;
  }
  return builder.take();
}

}  // namespace repl::delta
