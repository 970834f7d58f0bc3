// digest_bench.cc: what a content digest, a hole and an entry hash cost.
#include <benchmark/benchmark.h>

#include <string>

#include "engine/model/hash.h"

namespace {

using namespace repl;

void content_digest(benchmark::State& state) {
  const std::string bytes(static_cast<size_t>(state.range(0)), 'd');
  for (auto _ : state) {
    ContentHasher hasher;
    hasher.update(bytes);
    benchmark::DoNotOptimize(hasher.finish());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(content_digest)->Arg(100)->Arg(4096)->Arg(65536)->Arg(1 << 20)->Arg(16 << 20);

void hole_digest(benchmark::State& state) {
  for (auto _ : state) {
    ContentHasher hasher;
    hasher.update_zeros(static_cast<uint64_t>(state.range(0)));
    benchmark::DoNotOptimize(hasher.finish());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(hole_digest)->Arg(1 << 30);

void entry_hash(benchmark::State& state) {
  Attributes attr;
  attr.type = FileType::regular;
  attr.content = hash_bytes("content");
  for (auto _ : state) {
    benchmark::DoNotOptimize(entry_content_hash(1, "a name of usual length.txt", attr, {}));
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(entry_hash);

}  // namespace
