#include "engine/delta/rolling.h"

#include <time.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/base/limits.h"
#include "engine/delta/command_parser.h"
#include "engine/delta/librsync_job.h"

namespace repl::delta {

namespace {

constexpr size_t equal_weak_sums_max = 16;  // of different blocks; chance gives 2 or 3
constexpr size_t feed_bytes = 16 * 1024;    // between two looks at the processor time
constexpr int64_t budget_ns_base = 500'000'000;
constexpr int64_t budget_ns_per_byte = 50;  // an honest search takes 1 to 10

struct SignatureDeleter {
  void operator()(rs_signature_t* signature) const { rs_free_sumset(signature); }
};
// The time that this thread has worked: bounding work is no business of the injected clock, which a
// simulator may hold still.
int64_t thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
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
  if (signature.size() < signature_header_bytes || signature.size() > limits::signature_bytes_max) {
    return bad("size out of bounds");
  }
  if (big_endian32(signature.data()) != RS_RK_BLAKE2_SIG_MAGIC) return bad("unknown kind");
  const uint32_t block = big_endian32(signature.data() + 4);
  if (block < limits::rolling_block_bytes_min || block > limits::block_bytes)
    return bad("block length out of bounds");
  if (big_endian32(signature.data() + 8) != strong_sum_bytes) return bad("strong sum length");
  signature.remove_prefix(signature_header_bytes);
  if (signature.size() % block_sum_bytes != 0) return bad("truncated");

  std::vector<std::string_view> sums;
  sums.reserve(signature.size() / block_sum_bytes);
  for (size_t at = 0; at < signature.size(); at += block_sum_bytes) {
    sums.push_back(signature.substr(at, block_sum_bytes));
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

struct RollingSearch::State {
  std::unique_ptr<rs_signature_t, SignatureDeleter> sums;
  Job job;  // of the open run
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
  return RollingSearch(std::move(state));
}

Status RollingSearch::feed(std::string_view bytes, const DeltaSink& sink) {
  if (!state_->job) {
    state_->job.reset(rs_delta_begin(state_->sums.get()));
    if (!state_->job) return fail(ErrorCode::limit, "delta: librsync has no memory");
    state_->parser = CommandParser();
  }
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
  const Job job = std::move(state_->job);
  if (!job) return {};
  const auto parse = [&](std::string_view made) { return state_->parser.feed(made, sink); };
  if (Status ran = run_job(job.get(), {}, true, "delta", parse); !ran) return ran;
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
