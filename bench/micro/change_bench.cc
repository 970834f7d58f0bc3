// change_bench.cc: hints merged into one pending change per key, and taken for a cut.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "engine/base/limits.h"
#include "engine/change/change_set.h"

namespace repl::change {
namespace {

// 10,000 hints over range(0) keys: the fewer keys, the more hints merge.
void coalesce(benchmark::State& state) {
  constexpr int hints = 10'000;
  std::vector<Key> keys;
  for (int i = 0; i < state.range(0); ++i) {
    keys.push_back({.dir = DirId{static_cast<uint64_t>(2 + i / 1000)},
                    .name = "a name of usual length " + std::to_string(i)});
  }
  ChangeSet changes(limits::dirty_keys_max);
  for (auto _ : state) {
    for (size_t i = 0; i < hints; ++i) changes.mark(keys[i % keys.size()], 1, MonotonicTime{});
    if (changes.take(hints).size() != keys.size()) state.SkipWithError("keys are missing");
  }
  state.SetItemsProcessed(state.iterations() * hints);
}
BENCHMARK(coalesce)->Arg(1)->Arg(100)->Arg(10'000);

}  // namespace
}  // namespace repl::change
