#include "engine/delta/rolling.h"

#include <librsync.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/base/limits.h"
#include "engine/delta/command_parser.h"

namespace repl::delta {

namespace {

constexpr size_t header_bytes = 12;  // magic, block length, strong length; each 4 bytes, big-endian
constexpr size_t strong_bytes = 16;
constexpr size_t sum_bytes = 4 + strong_bytes;
constexpr size_t block_bytes_min = 4096;
constexpr size_t block_bytes_granule = 1024;
constexpr size_t block_bytes_max = 1 << 20;
constexpr size_t equal_weak_sums_max = 16;  // of different blocks; chance gives 2 or 3
constexpr size_t feed_bytes = 16 * 1024;    // between two looks at the processor time
constexpr int64_t budget_ns_base = 500'000'000;
constexpr int64_t budget_ns_per_byte = 50;  // an honest search takes 1 to 10

struct JobDeleter {
  void operator()(rs_job_t* job) const { rs_job_free(job); }
};
struct SignatureDeleter {
  void operator()(rs_signature_t* signature) const { rs_free_sumset(signature); }
};
using Job = std::unique_ptr<rs_job_t, JobDeleter>;

Error job_error(const char* what, rs_result result) {
  return make_error(ErrorCode::invalid, std::string(what) + ": " + rs_strerror(result));
}

// The time that this thread has worked: bounding work is no business of the injected clock, which a
// simulator may hold still.
int64_t thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// Runs the job over `input`; `out` is called with what it makes.
template <typename Out>
Status run_job(rs_job_t* job, std::string_view input, bool last, const char* what, Out&& out) {
  std::array<char, 64 * 1024> produced;
  // librsync's interface is not const-correct; it only reads there.
  rs_buffers_t buffers{
      .next_in = const_cast<char*>(input.data()), .avail_in = input.size(), .eof_in = last ? 1 : 0};
  for (;;) {
    buffers.next_out = produced.data();
    buffers.avail_out = produced.size();
    const size_t in_before = buffers.avail_in;
    const rs_result result = rs_job_iter(job, &buffers);
    if (result != RS_DONE && result != RS_BLOCKED) return fail(job_error(what, result));
    const size_t made = produced.size() - buffers.avail_out;
    if (made > 0) {
      if (Status taken = out(std::string_view(produced.data(), made)); !taken) return taken;
    }
    if (result == RS_DONE) return {};
    const bool moved = made > 0 || buffers.avail_in < in_before;
    if (buffers.avail_in == 0 && !last && made < produced.size()) return {};
    if (!moved) return fail(job_error(what, RS_INPUT_ENDED));
  }
}

uint32_t big_endian32(const char* bytes) {
  uint32_t v = 0;
  std::memcpy(&v, bytes, sizeof v);
  return std::byteswap(v);
}

// Shape and searchability of a signature that a peer sent.
Status check_signature(std::string_view signature) {
  const auto bad = [](const char* why) {
    return fail(ErrorCode::invalid, std::string("signature: ") + why);
  };
  if (signature.size() < header_bytes || signature.size() > limits::signature_bytes_max) {
    return bad("size out of bounds");
  }
  if (big_endian32(signature.data()) != RS_RK_BLAKE2_SIG_MAGIC) return bad("unknown kind");
  const uint32_t block = big_endian32(signature.data() + 4);
  if (block < block_bytes_min || block > block_bytes_max) return bad("block length out of bounds");
  if (big_endian32(signature.data() + 8) != strong_bytes) return bad("strong sum length");
  signature.remove_prefix(header_bytes);
  if (signature.size() % sum_bytes != 0) return bad("truncated");

  std::vector<std::string_view> sums;
  sums.reserve(signature.size() / sum_bytes);
  for (size_t at = 0; at < signature.size(); at += sum_bytes) {
    sums.push_back(signature.substr(at, sum_bytes));
  }
  std::sort(sums.begin(), sums.end());
  sums.erase(std::unique(sums.begin(), sums.end()), sums.end());
  for (size_t i = equal_weak_sums_max; i < sums.size(); ++i) {
    if (sums[i].substr(0, 4) == sums[i - equal_weak_sums_max].substr(0, 4)) {
      return fail(ErrorCode::limit, "signature: too many blocks of one weak sum");
    }
  }
  return {};
}

}  // namespace

size_t rolling_block_bytes(uint64_t size) {
  const auto wanted = static_cast<size_t>(std::sqrt(static_cast<double>(size)) / 4);
  const size_t rounded =
      (wanted + block_bytes_granule - 1) / block_bytes_granule * block_bytes_granule;
  return std::clamp(rounded, block_bytes_min, block_bytes_max);
}

Result<std::string> make_signature(uint64_t size, const ReadAt& read) {
  if (size > limits::rolling_bytes_max) {
    return fail(ErrorCode::limit, "signature: the content is too large for a rolling search");
  }
  const Job job(rs_sig_begin(rolling_block_bytes(size), strong_bytes, RS_RK_BLAKE2_SIG_MAGIC));
  if (!job) return fail(ErrorCode::internal, "signature: librsync has no memory");
  std::string signature;
  const auto keep = [&](std::string_view made) -> Status {
    signature.append(made);
    return {};
  };
  std::vector<char> buffer(limits::data_chunk_bytes_max);
  for (uint64_t offset = 0;;) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(buffer.size(), size - offset));
    const Result<size_t> got = want > 0 ? read(offset, buffer.data(), want) : Result<size_t>(0);
    if (!got) return fail(got.error());
    offset += *got;
    const bool last = *got < want || offset == size;
    const std::string_view bytes(buffer.data(), *got);
    if (Status ran = run_job(job.get(), bytes, last, "signature", keep); !ran) {
      return fail(ran.error());
    }
    if (last) return signature;
  }
}

struct RollingSearch::State {
  std::unique_ptr<rs_signature_t, SignatureDeleter> sums;
  Job job;
  CommandParser parser;
  uint64_t bytes_fed = 0;
  int64_t cpu_ns = 0;
};

RollingSearch::RollingSearch(std::unique_ptr<State> state) : state_(std::move(state)) {}
RollingSearch::~RollingSearch() = default;
RollingSearch::RollingSearch(RollingSearch&&) noexcept = default;
RollingSearch& RollingSearch::operator=(RollingSearch&&) noexcept = default;

Result<RollingSearch> RollingSearch::open(std::string_view signature) {
  if (Status checked = check_signature(signature); !checked) return fail(checked.error());
  auto state = std::make_unique<State>();
  rs_signature_t* loaded = nullptr;
  const Job load(rs_loadsig_begin(&loaded));
  const Status ran =
      run_job(load.get(), signature, true, "signature", [](std::string_view) { return Status{}; });
  state->sums.reset(loaded);
  if (!ran) return fail(ran.error());
  if (!loaded) return fail(ErrorCode::invalid, "signature: empty");
  if (const rs_result built = rs_build_hash_table(loaded); built != RS_DONE) {
    return fail(job_error("signature", built));
  }
  state->job.reset(rs_delta_begin(loaded));
  if (!state->job) return fail(ErrorCode::internal, "delta: librsync has no memory");
  return RollingSearch(std::move(state));
}

Status RollingSearch::feed(std::string_view bytes, const DeltaSink& sink) {
  const auto parse = [&](std::string_view made) { return state_->parser.feed(made, sink); };
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, feed_bytes);
    bytes.remove_prefix(piece.size());
    const int64_t began = thread_cpu_ns();
    if (Status ran = run_job(state_->job.get(), piece, false, "delta", parse); !ran) return ran;
    state_->cpu_ns += thread_cpu_ns() - began;
    state_->bytes_fed += piece.size();
    const int64_t budget =
        budget_ns_base + static_cast<int64_t>(state_->bytes_fed) * budget_ns_per_byte;
    if (state_->cpu_ns > budget) {
      if (Status told = state_->parser.flush(sink); !told) return told;
      return fail(ErrorCode::limit, "delta: the search costs more than it can save");
    }
  }
  return {};
}

Status RollingSearch::finish(const DeltaSink& sink) {
  const auto parse = [&](std::string_view made) { return state_->parser.feed(made, sink); };
  if (Status ran = run_job(state_->job.get(), {}, true, "delta", parse); !ran) return ran;
  if (!state_->parser.ended()) return fail(ErrorCode::invalid, "delta: no end");
  return {};
}

Status make_delta(std::string_view signature, uint64_t target_size, const ReadAt& target,
                  const DeltaSink& sink) {
  Result<RollingSearch> search = RollingSearch::open(signature);
  if (!search) return fail(search.error());
  std::vector<char> buffer(limits::data_chunk_bytes_max);
  for (uint64_t offset = 0; offset < target_size;) {
    const size_t want =
        static_cast<size_t>(std::min<uint64_t>(buffer.size(), target_size - offset));
    const Result<size_t> got = target(offset, buffer.data(), want);
    if (!got) return fail(got.error());
    if (Status fed = search->feed({buffer.data(), *got}, sink); !fed) return fed;
    offset += *got;
    if (*got < want) break;
  }
  return search->finish(sink);
}

}  // namespace repl::delta
