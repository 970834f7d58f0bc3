// scan_bench.cc: a warm walk of a tree (BENCH_DIR, else /tmp) of 200 directories with 100 files
// each: one thread with statx alone, and the scanner with 1, 2 and 4 workers, with and without the
// details of each file.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

#include "engine/scan/scanner.h"

namespace {

using namespace repl;

constexpr int directories = 200;
constexpr int files = 100;
constexpr int64_t entries = directories * (files + 1);

class Tree {
 public:
  Tree() {
    const char* where = std::getenv("BENCH_DIR");  // NOLINT(concurrency-mt-unsafe)
    parent_ = *io::open_root(where != nullptr ? where : "/tmp");
    name_ = "repl-bench-" + std::to_string(::getpid());
    ready_ = plant();
  }
  ~Tree() { static_cast<void>(io::remove_tree(parent_.get(), name_)); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] std::shared_ptr<Fd> open() const {
    return std::make_shared<Fd>(*io::open_dir(parent_.get(), name_));
  }

 private:
  bool plant() {
    if (!io::make_dir(parent_.get(), name_, 0700)) return false;
    const Result<Fd> top = io::open_dir(parent_.get(), name_);
    for (int d = 0; d < directories; ++d) {
      const std::string name = "dir" + std::to_string(d);
      if (!io::make_dir(top->get(), name, 0700)) return false;
      const Result<Fd> dir = io::open_dir(top->get(), name);
      for (int f = 0; f < files; ++f) {
        if (!io::create_file(dir->get(), "file" + std::to_string(f))) return false;
      }
    }
    return true;
  }
  Fd parent_;
  std::string name_;
  bool ready_ = false;
};

// Planted once: benchmark functions are called several times each.
const Tree& tree() {
  static const Tree planted;
  return planted;
}

int64_t walk(int dir) {
  int64_t seen = 0;
  static_cast<void>(io::list_dir(dir, [&](std::string_view name, FileType type) {
    if (io::stat_at(dir, name)) ++seen;
    if (type == FileType::directory) {
      if (const Result<Fd> child = io::open_dir(dir, name)) seen += walk(child->get());
    }
    return true;
  }));
  return seen;
}

void statx_walk(benchmark::State& state) {
  if (!tree().ready()) {
    state.SkipWithError("cannot plant the tree");
    return;
  }
  const auto root = tree().open();
  for (auto _ : state) {
    if (walk(root->get()) != entries) state.SkipWithError("the walk missed something");
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * entries);
}
BENCHMARK(statx_walk)->UseRealTime();

int64_t scan(size_t workers, bool details, const std::shared_ptr<Fd>& root) {
  std::mutex mutex;
  std::condition_variable sign;
  bool woken = false;
  scan::Scanner scanner(
      workers, [](DirId, int, std::string_view) -> Status { return {}; },
      [&] {
        const std::scoped_lock lock(mutex);
        woken = true;
        sign.notify_one();
      });
  const auto want = [details](std::string_view, const io::Stat&) { return details; };
  scanner.post({.dir = root_dir, .self = root, .want_details = want});
  int64_t seen = 0;
  while (!scanner.idle()) {
    {
      std::unique_lock lock(mutex);
      sign.wait(lock, [&] { return woken; });
      woken = false;
    }
    for (const scan::Listing& listing : scanner.take()) {
      seen += static_cast<int64_t>(listing.children.size());
      for (const scan::Child& child : listing.children) {
        if (child.stat.attr.type != FileType::directory) continue;
        scanner.post(
            {.dir = DirId{2}, .parent = listing.fd, .name = child.name, .want_details = want});
      }
    }
  }
  return seen;
}

void scanner_walk(benchmark::State& state) {
  if (!tree().ready()) {
    state.SkipWithError("cannot plant the tree");
    return;
  }
  const auto root = tree().open();
  const auto workers = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    if (scan(workers, state.range(1) != 0, root) != entries)
      state.SkipWithError("missed something");
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * entries);
}
// First argument: workers. Second: whether xattrs are read.
BENCHMARK(scanner_walk)->ArgsProduct({{1, 2, 4}, {0, 1}})->UseRealTime();

}  // namespace
