// Random operations on the source while the link is cut and joined and either engine is stopped and
// opened again; then quiet: equal. REPL_SEED=N replays one seed, REPL_SEEDS=N runs so many.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <random>
#include <thread>

#include "tests/support/engine_pair.h"

namespace repl::test {
namespace {

class Writer {
 public:
  Writer(std::string root, uint64_t seed) : root_(std::move(root)), random_(seed) { dirs_ = {""}; }

  void step() {
    switch (pick(20)) {
      case 0:
      case 1:
      case 2:
        return create(pick(4) == 0 ? pick(600'000) : pick(5'000));
      case 3:
        return append();
      case 4:
        return overwrite();
      case 5:
        return ignore(::truncate(any_file().c_str(), static_cast<off_t>(pick(300'000))));
      case 6:
      case 7:
        return ignore(::rename(any_file().c_str(), fresh().c_str()));
      case 8:
        return ignore(::rename(any_file().c_str(), any_file().c_str()));
      case 9:
        return move_directory();
      case 10:
        return ignore(::link(any_file().c_str(), fresh().c_str()));
      case 11:
        return ignore(::symlink("some/where", fresh().c_str()));
      case 12:
        return ignore(::chmod(any_file().c_str(), static_cast<mode_t>(pick(07777))));
      case 13:
        return ignore(
            ::lchown(any_file().c_str(), static_cast<uid_t>(pick(5)), static_cast<gid_t>(pick(5))));
      case 14:
        return ignore(::setxattr(any_file().c_str(), ("user.k" + std::to_string(pick(3))).c_str(),
                                 "value", pick(5), 0));
      case 15:
        return make_directory();
      case 16:
        return pick(3) == 0 ? remove_directory() : ignore(::unlink(any_file().c_str()));
      case 17:
        return map_and_write();
      case 18:
        return punch();
      default:
        return exchange();
    }
  }

 private:
  static void ignore(int) {
  }  // most operations fail now and then: the name is another kind, or gone
  size_t pick(size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random_); }
  std::string in(const std::string& dir) { return dir.empty() ? root_ : root_ + "/" + dir; }
  std::string any_dir() { return dirs_[pick(dirs_.size())]; }
  std::string any_file() { return in(any_dir()) + "/f" + std::to_string(pick(12)); }
  std::string fresh() { return in(any_dir()) + "/f" + std::to_string(pick(24)); }

  std::string bytes(size_t size) {
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(random_());
    return out;
  }
  void create(size_t size) {
    const std::string content = bytes(size);
    const int fd =
        ::open(fresh().c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0644);
    write_and_close(fd, content);
  }
  void append() {
    write_and_close(::open(any_file().c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK),
                    bytes(pick(3'000)));
  }
  void overwrite() {
    const int fd = ::open(any_file().c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0) ::lseek(fd, static_cast<off_t>(pick(100'000)), SEEK_SET);
    write_and_close(fd, bytes(pick(2'000)));
  }
  void write_and_close(int fd, const std::string& content) {
    if (fd < 0) return;
    ignore(static_cast<int>(::write(fd, content.data(), content.size())));
    ::close(fd);
  }
  void make_directory() {
    const std::string parent = any_dir();
    const std::string name = (parent.empty() ? "" : parent + "/") + "d" + std::to_string(pick(6));
    if (::mkdir(in(name).c_str(), 0755) == 0) dirs_.push_back(name);
  }
  void refresh() {
    dirs_ = {""};
    std::error_code code;
    for (auto at = std::filesystem::recursive_directory_iterator(root_, code);
         at != std::filesystem::recursive_directory_iterator(); at.increment(code)) {
      if (at->symlink_status(code).type() == std::filesystem::file_type::directory) {
        dirs_.push_back(at->path().lexically_relative(root_).string());
      }
    }
  }
  void move_directory() {
    const std::string from = any_dir();
    const std::string parent = any_dir();
    if (from.empty()) return;
    const std::string to = (parent.empty() ? "" : parent + "/") + "d" + std::to_string(pick(6));
    ignore(::rename(in(from).c_str(), in(to).c_str()));
    refresh();
  }
  void remove_directory() {
    const std::string dir = any_dir();
    if (dir.empty()) return;
    std::error_code code;
    std::filesystem::remove_all(in(dir), code);
    refresh();
  }
  void map_and_write() {
    const int fd = ::open(any_file().c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return;
    struct stat st{};
    ::fstat(fd, &st);
    if (S_ISREG(st.st_mode) && st.st_size > 0) {
      void* at = ::mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ | PROT_WRITE,
                        MAP_SHARED, fd, 0);
      if (at != MAP_FAILED) {
        static_cast<char*>(at)[pick(static_cast<size_t>(st.st_size))] ^= 1;
        ::munmap(at, static_cast<size_t>(st.st_size));
      }
    }
    ::close(fd);
  }
  void punch() {
    const int fd = ::open(any_file().c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return;
    ignore(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 65536));
    ::close(fd);
  }
  void exchange() {
    ignore(
        ::renameat2(AT_FDCWD, any_file().c_str(), AT_FDCWD, any_file().c_str(), RENAME_EXCHANGE));
  }

  std::string root_;
  std::mt19937_64 random_;
  std::vector<std::string> dirs_;
};

std::optional<uint64_t> number(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::optional<uint64_t>(std::strtoull(text, nullptr, 10)) : std::nullopt;
}

// A replica's engine, or the source's, is stopped and opened again; or the link is cut and joined.
void disturb(EnginePair& pair, std::mt19937_64& random) {
  switch (random() % 3) {
    case 0:
      pair.cut();
      break;
    case 1:
      pair.cut();
      pair.a.stop();
      ASSERT_TRUE(pair.a.start());
      break;
    default:
      pair.cut();
      pair.b.stop();
      ASSERT_TRUE(pair.b.start());
      break;
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(random() % 30));
  if (!pair.link) pair.connect();
}

void expect_equal(EnginePair& pair) {
  const run::WaitAnswer waited = pair.settle();
  ASSERT_EQ(waited.result, run::WaitResult::reached) << waited.detail << pair.story();
  ASSERT_EQ(pair.difference(), "") << pair.story() << pair.autopsy();
  const auto verified = pair.a.ask<run::VerifyAnswer>(
      [](auto& engine, auto answer) { engine.request_verify({.sha256 = true}, answer); });
  ASSERT_EQ(verified.outcome, run::VerifyAnswer::Outcome::equal)
      << (verified.peers.empty() ? "" : verified.peers.front().detail) << pair.story();
}

// The same, and the writer does not stop for it: starts, scans and comparisons meet a moving tree.
void run_seed_meanwhile(uint64_t seed) {
  SCOPED_TRACE("REPL_SEED=" + std::to_string(seed));
  fmt::print("    seed {}\n", seed);
  std::mt19937_64 random(seed);
  EnginePair pair;
  const watch::Mode modes[] = {watch::Mode::fanotify_directories, watch::Mode::inotify};
  pair.a.options.watch_mode = modes[seed % 2];
  Writer writer(pair.a.options.root, seed);
  // An emptied root is a question to a person, not a change.
  ::close(::open((pair.a.options.root + "/stays").c_str(), O_CREAT | O_WRONLY, 0644));
  for (int i = 0; i < 400; ++i) writer.step();
  pair.start();
  for (int round = 0; round < 3; ++round) {
    std::atomic<bool> stop = false;
    std::thread thread([&] {
      for (int i = 0; !stop; ++i) {
        writer.step();
        if (i % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(seed % 300));
      }
    });
    // What the writer makes goes to and fro below it.
    std::thread mover([&, moves = std::mt19937_64(seed + 1)]() mutable {
      const auto name = [&] { return "/d" + std::to_string(moves() % 6); };
      while (!stop) {
        const std::string from = pair.a.options.root + name() + (moves() % 2 == 0 ? name() : "");
        const std::string to = pair.a.options.root + name() + (moves() % 2 == 0 ? name() : "");
        std::this_thread::sleep_for(std::chrono::microseconds(moves() % 1000));
        if (::rename(from.c_str(), to.c_str()) != 0 && moves() % 3 == 0) ::mkdir(to.c_str(), 0755);
      }
    });
    for (int i = 0; i < 2; ++i) {
      disturb(pair, random);
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60));
    }
    stop = true;
    thread.join();
    mover.join();
    if (testing::Test::HasFatalFailure()) return;
    expect_equal(pair);
    if (testing::Test::HasFatalFailure()) return;
  }
}

void run_seed(uint64_t seed) {
  SCOPED_TRACE("REPL_SEED=" + std::to_string(seed));
  fmt::print("    seed {}\n", seed);
  std::mt19937_64 random(seed);
  EnginePair pair;
  const watch::Mode modes[] = {watch::Mode::fanotify_directories, watch::Mode::inotify};
  pair.a.options.watch_mode = modes[seed % 2];
  Writer writer(pair.a.options.root, seed);
  for (int i = 0; i < 50; ++i) writer.step();
  pair.start();
  ASSERT_EQ(pair.settle().result, run::WaitResult::reached);
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 80; ++i) {
      writer.step();
      if (random() % 40 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(random() % 10));
    }
    if (round % 2 == 1) disturb(pair, random);
    if (testing::Test::HasFatalFailure()) return;
  }
  expect_equal(pair);
}

void run_seeds(const std::function<void(uint64_t)>& run) {
  if (const auto seed = number("REPL_SEED")) return run(*seed);
  const uint64_t seeds = number("REPL_SEEDS").value_or(6);
  // CI replays the same seeds each time; a campaign (REPL_SEEDS without CI) takes new ones.
  const uint64_t first = std::getenv("CI") != nullptr ? 1 : std::random_device{}();
  for (uint64_t i = 0; i < seeds; ++i) {
    run(first + i);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(RandomChanges, EndEqual) { run_seeds(run_seed); }

// Which interleavings a seed meets is the machine's.
TEST(RandomChanges, EndEqualWhenTheWriterGoesOn) { run_seeds(run_seed_meanwhile); }

}  // namespace
}  // namespace repl::test
