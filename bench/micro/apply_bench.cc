// Small new files through the applier (BENCH_DIR, else /tmp): one cut of a new directory with 1,000
// files.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <cstdlib>
#include <filesystem>

#include "engine/apply/applier.h"
#include "engine/model/hash.h"

namespace repl::apply {
namespace {

constexpr uint64_t files_per_cut = 1000;

void publish_new_files(benchmark::State& state) {
  namespace fs = std::filesystem;
  const char* where = std::getenv("BENCH_DIR");  // NOLINT(concurrency-mt-unsafe)
  std::string base = std::string(where != nullptr ? where : "/tmp") + "/repl-apply-bench-XXXXXX";
  if (::mkdtemp(base.data()) == nullptr) return state.SkipWithError("no directory");
  const std::string bytes(static_cast<size_t>(state.range(0)), 'x');
  fs::create_directories(base + "/tree");
  fs::create_directories(base + "/staging");
  {
    NullLog log;
    const Policy policy;
    auto index = Index::open(base + "/state", 1);
    auto staging = Staging::open(std::move(*io::open_root(base + "/staging")));
    auto applier = Applier::make(std::move(*io::open_root(base + "/tree")), **staging, **index,
                                 policy, OnDrift::hold, log);
    uint64_t cut = 0;
    for (auto _ : state) {
      ++cut;
      bool ok = (*applier)->begin(CutBegin{.cut = CutNumber{cut}}).has_value();
      const DirId dir{100 + cut};
      Attributes attr{.type = FileType::directory, .mode = 0755, .mtime = {1, 1}, .dir = dir};
      ok = ok && (*applier)
                     ->put(Put{.key = {root_dir, fmt::format("d{}", cut)}, .attr = attr})
                     .has_value();
      attr = {.type = FileType::regular, .mode = 0644, .mtime = {1, 1}, .size = bytes.size()};
      for (uint64_t n = 0; n < files_per_cut; ++n) {
        Put put{.key = {dir, fmt::format("f{}", n)}, .attr = attr, .content = ContentInline{bytes}};
        ok = ok && (*applier)->put(std::move(put)).has_value();
      }
      const auto done =
          (*applier)->publish(CutEnd{.cut = CutNumber{cut}, .records = files_per_cut + 1}, false,
                              [](const Position&) {});
      if (!ok || !done || !done->refused.empty()) state.SkipWithError("the cut was not published");
      state.PauseTiming();
      while (auto work = (*applier)->take_sync_work()) {
        const Status synced = SyncWork::run(*work, **index);
        if (!synced) state.SkipWithError("the cut was not made durable");
        (*applier)->on_synced(std::move(*work), synced);
        if (!synced) break;
      }
      state.ResumeTiming();
    }
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * files_per_cut));
  }
  fs::remove_all(base);
}
BENCHMARK(publish_new_files)->Arg(100)->Arg(4096)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace repl::apply
