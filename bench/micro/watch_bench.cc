// Events drained per second, per way of watching: the kernel's queue is filled with 10,000
// creations, then read and translated. Needs root; uses a tmpfs of its own.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdlib>
#include <string>

#include "engine/io/fs_ops.h"
#include "engine/watch/watcher.h"

namespace repl::watch {
namespace {

constexpr int names = 10'000;  // below every default queue bound
constexpr int rounds = 20;     // each takes much longer to prepare than to measure
constexpr size_t drain_bytes = 64 << 20;

class NoDirectories final : public HandleResolver {
 public:
  [[nodiscard]] std::optional<DirId> dir_of(std::string_view) const override {
    return std::nullopt;
  }
};

// A tmpfs in a mount namespace of this process; empty without the right to mount.
const std::string& scratch() {
  static struct Scratch {
    std::string path = make();
    ~Scratch() {
      if (path.empty()) return;
      umount2(path.c_str(), MNT_DETACH);
      rmdir(path.c_str());
    }
    static std::string make() {
      char name[] = "/tmp/repl-watch-bench-XXXXXX";
      if (unshare(CLONE_NEWNS) != 0 || mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) != 0 ||
          mkdtemp(name) == nullptr || mount("tmpfs", name, "tmpfs", 0, nullptr) != 0) {
        return std::string();
      }
      mkdir((std::string(name) + "/tree").c_str(), 0755);
      mkdir((std::string(name) + "/out").c_str(), 0755);
      return std::string(name);
    }
  } scratch;
  return scratch.path;
}

void create_and_remove(const std::string& dir, bool create) {
  for (int i = 0; i < names; ++i) {
    const std::string path = fmt::format("{}/f{}", dir, i);
    if (create) {
      mknod(path.c_str(), S_IFREG | 0644, 0);
    } else {
      unlink(path.c_str());
    }
  }
}

void drain_events(benchmark::State& state, Mode mode, const char* where) {
  if (scratch().empty()) {
    state.SkipWithError("needs root");
    return;
  }
  const std::string tree = scratch() + "/tree";
  const std::string busy = scratch() + where;
  const Fd root(open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const NoDirectories index;
  NullLog log;
  auto opened = open_watcher(root.get(), index, {.mode = mode}, log);
  const auto handle = io::handle_of(root.get());
  if (!opened || !handle || !opened->watcher->add(root_dir, root.get(), *handle)) {
    state.SkipWithError("cannot watch");
    return;
  }
  uint64_t events = 0;
  for (auto _ : state) {
    state.PauseTiming();
    create_and_remove(busy, true);
    state.ResumeTiming();
    const auto drained = opened->watcher->drain(drain_bytes);
    benchmark::DoNotOptimize(drained);
    state.PauseTiming();
    events += drained ? drained->events : 0;
    create_and_remove(busy, false);
    (void)opened->watcher->drain(drain_bytes);
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(events));
}

BENCHMARK_CAPTURE(drain_events, fanotify_filesystem, Mode::fanotify_filesystem, "/tree")
    ->Iterations(rounds);
BENCHMARK_CAPTURE(drain_events, fanotify_filesystem_foreign, Mode::fanotify_filesystem, "/out")
    ->Iterations(rounds);
BENCHMARK_CAPTURE(drain_events, fanotify_directories, Mode::fanotify_directories, "/tree")
    ->Iterations(rounds);
BENCHMARK_CAPTURE(drain_events, inotify, Mode::inotify, "/tree")->Iterations(rounds);

}  // namespace
}  // namespace repl::watch
