// delta_bench.cc: signature, rolling search, block comparison, record packing.
#include <benchmark/benchmark.h>

#include <random>

#include "engine/delta/rolling.h"
#include "engine/delta/strategy.h"
#include "engine/model/hash.h"
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
        delta::blocks_matching(known.blocks(), hasher.blocks(), base.size(), base.size()));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(aligned_hash_and_compare)->Arg(64 << 20);

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
