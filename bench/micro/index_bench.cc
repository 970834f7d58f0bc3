// The index's operations: fixed work on a fresh index each time (BENCH_DIR, else /tmp).
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "engine/index/index.h"

namespace repl {
namespace {

constexpr int files = 100'000;

class Bed {
 public:
  Bed() {
    const char* where = std::getenv("BENCH_DIR");  // NOLINT(concurrency-mt-unsafe)
    path_ = std::string(where != nullptr ? where : "/tmp") + "/repl-index-bench-XXXXXX";
    mkdtemp(path_.data());
    index_ = Index::open(path_ + "/index", 1).value();
  }
  ~Bed() {
    index_.reset();
    std::filesystem::remove_all(path_);
  }
  Bed(const Bed&) = delete;
  Bed& operator=(const Bed&) = delete;
  [[nodiscard]] Index& index() { return *index_; }

  // 100 directories of 1,000 files.
  void fill() {
    Entry file;
    file.attr.type = FileType::regular;
    file.attr.mode = 0644;
    file.attr.size = 1000;
    file.attr.content.low = 1;
    file.cut.value = 1;
    Entry dir;
    dir.attr.type = FileType::directory;
    dir.cut.value = 1;
    for (int i = 0; i < files; ++i) {
      const auto id = static_cast<uint64_t>(2 + i / 1000);
      if (i % 1000 == 0) {
        dir.attr.dir.value = id;
        index_->put({.dir = root_dir, .name = "dir" + std::to_string(id)}, dir);
      }
      file.local.inode = static_cast<uint64_t>(1'000'000 + i);
      index_->put(key(i), file);
    }
  }
  [[nodiscard]] static Key key(int i) {
    std::string name = "file000000.dat";
    for (size_t digit = 9; i > 0; i /= 10) name[digit--] = static_cast<char>('0' + i % 10);
    return {.dir = DirId{static_cast<uint64_t>(2 + number(name) / 1000)}, .name = std::move(name)};
  }

 private:
  static int number(const std::string& name) { return std::atoi(name.c_str() + 4); }
  std::string path_;
  std::unique_ptr<Index> index_;
};

void put_bulk(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    auto bed = std::make_unique<Bed>();
    state.ResumeTiming();
    bed->fill();
    benchmark::DoNotOptimize(bed->index().root_content());
    state.PauseTiming();
    bed.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * files);
}
BENCHMARK(put_bulk)->Unit(benchmark::kMillisecond);

void commit_bulk(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    auto bed = std::make_unique<Bed>();
    bed->fill();
    const auto batch = bed->index().freeze();
    state.ResumeTiming();
    if (!bed->index().commit(batch)) state.SkipWithError("commit failed");
    state.PauseTiming();
    bed->index().committed(batch);
    bed.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * files);
}
BENCHMARK(commit_bulk)->Unit(benchmark::kMillisecond);

void commit_one(benchmark::State& state) {
  Bed bed;
  bed.fill();
  static_cast<void>(bed.index().flush());
  int i = 0;
  for (auto _ : state) {
    Entry entry = *bed.index().get(Bed::key(i));
    entry.attr.mtime.seconds = ++i;
    bed.index().put(Bed::key(i), entry);
    if (!bed.index().flush()) state.SkipWithError("commit failed");
  }
}
BENCHMARK(commit_one)->Unit(benchmark::kMicrosecond);

void get_from_disk(benchmark::State& state) {
  Bed bed;
  bed.fill();
  static_cast<void>(bed.index().flush());
  int i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(bed.index().get(Bed::key(i)));
    i = (i + 7919) % files;
  }
}
BENCHMARK(get_from_disk);

void scan_children(benchmark::State& state) {
  Bed bed;
  bed.fill();
  static_cast<void>(bed.index().flush());
  for (auto _ : state) {
    uint64_t bytes = 0;
    bed.index().for_children(DirId{50}, [&](std::string_view, const Entry& entry) {
      bytes += entry.attr.size;
      return true;
    });
    benchmark::DoNotOptimize(bytes);
  }
  state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(scan_children);

void move_directory(benchmark::State& state) {
  Bed bed;
  bed.fill();
  static_cast<void>(bed.index().flush());
  Entry dir;
  dir.attr.type = FileType::directory;
  dir.attr.dir.value = 50;
  uint64_t i = 0;
  for (auto _ : state) {
    bed.index().put({.dir = DirId{51 + i++ % 2}, .name = "moved"}, dir);
  }
}
BENCHMARK(move_directory);

void change_and_root_fingerprint(benchmark::State& state) {
  Bed bed;
  bed.fill();
  static_cast<void>(bed.index().flush());
  Entry entry = *bed.index().get(Bed::key(5));
  for (auto _ : state) {
    ++entry.attr.mtime.seconds;
    bed.index().put(Bed::key(5), entry);
    benchmark::DoNotOptimize(bed.index().root_content());
  }
}
BENCHMARK(change_and_root_fingerprint);

}  // namespace
}  // namespace repl
