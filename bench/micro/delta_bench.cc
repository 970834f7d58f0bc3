// delta_bench.cc: signature, rolling search, block comparison, record packing.
#include <benchmark/benchmark.h>

#include <random>

#include "engine/base/limits.h"
#include "engine/delta/rolling.h"
#include "engine/delta/strategy.h"
#include "engine/model/hash.h"
#include "engine/send/content_streamer.h"
#include "engine/send/record_packer.h"

namespace repl {
namespace {

std::string random_bytes(size_t size) {
  std::mt19937_64 rng(1);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(rng());
  return out;
}

delta::ReadAt reader(const std::string& content) {
  return [&content](uint64_t offset, char* to, size_t size) -> Result<size_t> {
    return content.copy(to, size, offset);
  };
}

void make_signature(benchmark::State& state) {
  const std::string base = random_bytes(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(delta::make_signature(base.size(), reader(base)));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(make_signature)->Arg(1 << 20)->Arg(64 << 20);

void rolling_search(benchmark::State& state) {
  const std::string base = random_bytes(static_cast<size_t>(state.range(0)));
  const std::string target = "shifted" + base;
  const std::string signature = *delta::make_signature(base.size(), reader(base));
  const delta::DeltaSink sink{.copy = [](const delta::CopyCommand&) { return Status{}; },
                              .literal = [](const delta::LiteralCommand&) { return Status{}; }};
  for (auto _ : state) {
    benchmark::DoNotOptimize(delta::make_delta(signature, target.size(), reader(target), sink));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(rolling_search)->Arg(1 << 20)->Arg(64 << 20);

void aligned_hash_and_compare(benchmark::State& state) {
  const std::string base = random_bytes(static_cast<size_t>(state.range(0)));
  ContentHasher known;
  known.update(base);
  benchmark::DoNotOptimize(known.finish());
  for (auto _ : state) {
    ContentHasher hasher;
    hasher.update(base);
    benchmark::DoNotOptimize(hasher.finish());
    benchmark::DoNotOptimize(
        delta::overlap_of(known.blocks(), hasher.blocks(), base.size(), base.size()));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(aligned_hash_and_compare)->Arg(64 << 20);

class MemoryFile final : public send::ContentHandle {
 public:
  explicit MemoryFile(const std::string& bytes) : bytes_(bytes) { stat_.attr.size = bytes.size(); }
  const io::Stat& opened() const override { return stat_; }
  Result<size_t> read_at(uint64_t offset, char* buffer, size_t size) override {
    return bytes_.copy(buffer, size, offset);
  }
  Result<io::DataRange> next_data(uint64_t offset, uint64_t size) override {
    return io::DataRange{.start = offset, .end = size};
  }
  Result<io::Stat> stat_again() override { return stat_; }
  Result<Attributes> attributes() override { return stat_.attr; }

 private:
  const std::string& bytes_;
  io::Stat stat_;
};

class NoSource final : public send::ContentSource {
 public:
  Result<std::unique_ptr<send::ContentHandle>> open(const Key&) override {
    return fail(ErrorCode::not_found, "");
  }
  bool leads_to(const Key&, const io::Stat&) override { return true; }
};

// A content of 64 MiB of which one block in a hundred was changed, or that was shifted by 1 KiB;
// with and without a signature of the base.
void stream_delta(benchmark::State& state, bool shifted, bool with_signature) {
  const std::string base = random_bytes(64 << 20);
  std::string target = shifted ? std::string(1024, 's') + base : base;
  for (size_t at = 70'000; !shifted && at < target.size(); at += 100 * limits::block_bytes) {
    target[at] = static_cast<char>(target[at] ^ 1);
  }
  ContentHasher known;
  known.update(base);
  benchmark::DoNotOptimize(known.finish());
  const std::string signature = *delta::make_signature(base.size(), reader(base));
  NoSource source;
  uint64_t literal = 0;
  for (auto _ : state) {
    send::StreamPlan plan{.how = send::StreamPlan::How::delta,
                          .base_size = base.size(),
                          .base_table = known.blocks()};
    if (with_signature) plan.signature = signature;
    send::ContentStreamer streamer(std::move(plan), std::make_unique<MemoryFile>(target), source);
    while (streamer.step(1 << 20, [](Message m) { benchmark::DoNotOptimize(m); }) ==
           send::ContentStreamer::Step::more) {
    }
    literal = streamer.result().literal_bytes;
  }
  state.counters["literal"] = static_cast<double>(literal);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(target.size()));
}
BENCHMARK_CAPTURE(stream_delta, edited_1_percent, false, false);
BENCHMARK_CAPTURE(stream_delta, edited_1_percent_with_signature, false, true);
BENCHMARK_CAPTURE(stream_delta, shifted_with_signature, true, true);

void pack_records(benchmark::State& state) {
  size_t messages = 0;
  send::RecordPacker packer([&](Message message) {
    benchmark::DoNotOptimize(message);
    ++messages;
  });
  const std::string bytes = random_bytes(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    packer.add(Put{.key = {root_dir, "name"}, .content = ContentInline{.bytes = bytes}});
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(pack_records)->Arg(0)->Arg(4096);

}  // namespace
}  // namespace repl
