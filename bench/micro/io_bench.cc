// io_bench.cc: reads, writes and fsyncs in batches, plain against io_uring, with a warm page cache
// (BENCH_DIR, else /tmp): what the backend itself costs. Each result is checked; a wrong one ends
// the run as an error.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/fs_ops.h"

namespace {

using namespace repl;

constexpr size_t files = 256;

// `files` open files of `size` bytes each, unlinked at once, and one operation for each.
class Batch {
 public:
  explicit Batch(size_t size) : buffers_(files, std::string(size, 'b')) {
    const char* where = std::getenv("BENCH_DIR");  // NOLINT(concurrency-mt-unsafe)
    const Result<Fd> dir = io::open_root(where != nullptr ? where : "/tmp");
    for (size_t i = 0; dir && i < files; ++i) {
      const std::string name = "repl-bench-" + std::to_string(::getpid()) + "-" + std::to_string(i);
      Result<Fd> fd = io::create_file(dir->get(), name);
      if (!fd || !io::unlink_at(dir->get(), name)) return;
      if (!io::write_at(fd->get(), 0, buffers_[i])) return;
      fds_.push_back(std::move(*fd));
    }
  }
  [[nodiscard]] bool ready() const { return fds_.size() == files; }
  std::vector<io::Op> ops(io::OpKind kind) {
    std::vector<io::Op> ops;
    for (size_t i = 0; i < files; ++i) {
      ops.push_back({.kind = kind,
                     .fd = fds_[i].get(),
                     .buffer = buffers_[i].data(),
                     .size = buffers_[i].size()});
    }
    return ops;
  }

 private:
  std::vector<std::string> buffers_;
  std::vector<Fd> fds_;
};

bool all_moved(const std::vector<io::Op>& ops) {
  for (const io::Op& op : ops) {
    if (op.result != static_cast<int64_t>(op.kind == io::OpKind::fsync ? 0 : op.size)) return false;
  }
  return true;
}

void run_batches(benchmark::State& state, io::OpKind kind, bool dirty_first) {
  const auto backend = io::make_backend(state.range(0) == 0 ? io::BackendChoice::plain
                                                            : io::BackendChoice::automatic);
  const auto size = static_cast<size_t>(state.range(1));
  Batch batch(size);
  if (!batch.ready()) {
    state.SkipWithError("cannot make the files");
    return;
  }
  std::vector<io::Op> ops = batch.ops(kind);
  std::vector<io::Op> dirty = batch.ops(io::OpKind::write);
  state.SetLabel(std::string(backend->name()));
  for (auto _ : state) {
    if (dirty_first) {
      state.PauseTiming();
      backend->run(dirty);
      state.ResumeTiming();
    }
    backend->run(ops);
    if (!all_moved(ops)) {
      state.SkipWithError("an operation failed");
      return;
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * files));
  if (kind != io::OpKind::fsync) {
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * files * size));
  }
}

void backend_read(benchmark::State& state) { run_batches(state, io::OpKind::read, false); }
void backend_write(benchmark::State& state) { run_batches(state, io::OpKind::write, false); }
void backend_fsync(benchmark::State& state) { run_batches(state, io::OpKind::fsync, true); }

// First argument: 0 plain, 1 io_uring. Second: bytes per operation.
BENCHMARK(backend_read)->ArgsProduct({{0, 1}, {4096, 65536, 262144}})->UseRealTime();
BENCHMARK(backend_write)->ArgsProduct({{0, 1}, {4096, 65536}})->UseRealTime();
BENCHMARK(backend_fsync)->ArgsProduct({{0, 1}, {4096}})->UseRealTime()->Iterations(5);

}  // namespace
