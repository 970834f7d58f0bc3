#include "engine/scan/scanner.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "tests/unit/io/scratch.h"

namespace repl::scan {
namespace {

using test::ScratchDir;

// The owner's side: sleeps until it is woken, counts directories as it goes into them.
class Owner {
 public:
  void wake() {
    const std::scoped_lock lock(mutex_);
    woken_ = true;
    sign_.notify_one();
  }
  [[nodiscard]] bool sleep() {
    std::unique_lock lock(mutex_);
    const bool woken = sign_.wait_for(lock, std::chrono::seconds(30), [&] { return woken_; });
    woken_ = false;
    return woken;
  }

  // Scans everything below `root`; every listing by its path.
  std::map<std::string, Listing> scan(Scanner& scanner, const ScratchDir& root) {
    std::map<std::string, Listing> all;
    std::map<DirId, std::string> paths{{root_dir, ""}};
    uint64_t next_id = 2;
    scanner.post({.dir = root_dir, .self = std::make_shared<Fd>(::dup(root.fd()))});
    for (;;) {
      const bool was_idle = scanner.idle();
      std::vector<Listing> taken = scanner.take();
      if (taken.empty()) {
        if (was_idle) return all;
        if (!sleep()) {
          ADD_FAILURE() << "the scanner did not wake its owner";
          return all;
        }
      }
      for (Listing& listing : taken) {
        const std::string path = paths[listing.dir];
        for (const Child& child : listing.children) {
          if (child.error || child.stat.attr.type != FileType::directory) continue;
          paths[DirId{next_id}] = path + "/" + child.name;
          scanner.post({.dir = DirId{next_id++}, .parent = listing.fd, .name = child.name});
        }
        EXPECT_TRUE(all.emplace(path, std::move(listing)).second);
      }
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable sign_;
  bool woken_ = false;
};

Status watch_nothing(DirId, int, std::string_view) { return {}; }

const Child* child_of(const Listing& listing, std::string_view name) {
  for (const Child& child : listing.children) {
    if (child.name == name) return &child;
  }
  return nullptr;
}

// `width` directories in each of `depth` levels, each with `files` files. Returns how many
// directories.
size_t plant(int dir, int depth, int width, int files) {
  for (int f = 0; f < files; ++f) EXPECT_TRUE(io::create_file(dir, "f" + std::to_string(f)));
  if (depth == 0) return 1;
  size_t dirs = 1;
  for (int d = 0; d < width; ++d) {
    const std::string name = "d" + std::to_string(d);
    EXPECT_TRUE(io::make_dir(dir, name, 0755));
    dirs += plant(io::open_dir(dir, name)->get(), depth - 1, width, files);
  }
  return dirs;
}

size_t open_fds() {
  size_t count = 0;
  const Result<Fd> fds = io::open_root("/proc/self/fd");
  EXPECT_TRUE(io::list_dir(fds->get(), [&](std::string_view, FileType) { return ++count, true; }));
  return count;
}

TEST(Scanner, ReadsAWholeTree) {
  const ScratchDir root;
  const size_t dirs = plant(root.fd(), 3, 5, 4);
  for (const size_t workers : {1, 4}) {
    Owner owner;
    std::map<std::string, Listing> all;
    {
      Scanner scanner(workers, watch_nothing, [&] { owner.wake(); });
      EXPECT_TRUE(scanner.idle());
      all = owner.scan(scanner, root);
      EXPECT_TRUE(scanner.idle());
    }
    EXPECT_EQ(all.size(), dirs);
    for (const auto& [path, listing] : all) {
      EXPECT_FALSE(listing.error);
      EXPECT_FALSE(listing.watch_error);
      EXPECT_EQ(listing.self.attr.type, FileType::directory);
      const bool is_leaf = std::count(path.begin(), path.end(), '/') == 3;
      ASSERT_EQ(listing.children.size(), is_leaf ? 4U : 9U);
    }
    const Listing& sub = all["/d1/d2"];
    EXPECT_EQ(sub.self_handle, child_of(all["/d1"], "d2")->handle);
    EXPECT_EQ(sub.self.local.inode, child_of(all["/d1"], "d2")->stat.local.inode);
  }
}

// Renames may put another directory at the name of one that was listed.
TEST(Scanner, ADirectoryThatIsNotTheOneMeantIsNotFound) {
  const ScratchDir root;
  ASSERT_TRUE(io::make_dir(root.fd(), "meant", 0700));
  ASSERT_TRUE(io::make_dir(root.fd(), "other", 0700));
  const std::string handle = *io::handle_at(root.fd(), "meant");
  ASSERT_EQ(::rename(root.path("meant").c_str(), root.path("away").c_str()), 0);
  ASSERT_EQ(::rename(root.path("other").c_str(), root.path("meant").c_str()), 0);
  bool watched = false;
  Owner owner;
  Scanner scanner(
      1,
      [&](DirId, int, std::string_view) -> Status {
        watched = true;
        return {};
      },
      [&] { owner.wake(); });
  scanner.post(Job{.dir = DirId{7},
                   .parent = std::make_shared<Fd>(::dup(root.fd())),
                   .name = "meant",
                   .handle = handle});
  ASSERT_TRUE(owner.sleep());
  const std::vector<Listing> taken = scanner.take();
  ASSERT_EQ(taken.size(), 1U);
  ASSERT_TRUE(taken[0].error);
  EXPECT_EQ(taken[0].error->code, ErrorCode::not_found);
  EXPECT_FALSE(watched);
}

TEST(Scanner, ChildrenCarryTheirDetails) {
  const ScratchDir root;
  root.write("file", "12345");
  ASSERT_EQ(::setxattr(root.path("file").c_str(), "trusted.x", "v", 1, 0), 0);
  ASSERT_TRUE(io::make_symlink(root.fd(), "link", "file"));
  ASSERT_EQ(::lsetxattr(root.path("link").c_str(), "trusted.of_link", "w", 1, 0), 0);
  ASSERT_TRUE(io::make_dir(root.fd(), "dir", 0700));
  ASSERT_TRUE(io::make_node(root.fd(), "fifo", FileType::fifo, 0));
  root.write("same", "x");

  std::mutex mutex;
  std::set<std::string> asked;
  Job job{.dir = DirId{7}, .self = std::make_shared<Fd>(::dup(root.fd()))};
  job.want_details = [&](std::string_view name, const io::Stat& stat) {
    const std::scoped_lock lock(mutex);
    EXPECT_NE(stat.local.inode, 0U);
    asked.emplace(name);
    return name != "same";
  };
  Owner owner;
  Scanner scanner(2, watch_nothing, [&] { owner.wake(); });
  scanner.post(std::move(job));
  ASSERT_TRUE(owner.sleep());
  const std::vector<Listing> taken = scanner.take();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_TRUE(scanner.idle());
  const Listing& listing = taken[0];
  EXPECT_EQ(listing.dir, DirId{7});
  EXPECT_EQ(asked, (std::set<std::string>{"file", "link", "dir", "fifo", "same"}));
  const Child* file = child_of(listing, "file");
  EXPECT_TRUE(file->details);
  EXPECT_EQ(file->stat.attr.size, 5U);
  EXPECT_EQ(file->xattrs, *io::read_xattrs_at(root.fd(), "file"));
  EXPECT_NE(file->xattrs, "");
  EXPECT_EQ(file->handle, "");
  const Child* link = child_of(listing, "link");
  EXPECT_EQ(link->target, "file");
  EXPECT_NE(link->xattrs, file->xattrs);
  EXPECT_NE(link->xattrs, "");
  EXPECT_NE(child_of(listing, "dir")->handle, "");
  EXPECT_FALSE(child_of(listing, "same")->details);
}

// What is made after the watch is set raises an event; what was made before is listed. So nothing
// falls between: a file made inside the callback must be in the listing.
TEST(Scanner, TheWatchIsSetBeforeTheListing) {
  const ScratchDir root;
  ASSERT_TRUE(io::make_dir(root.fd(), "sub", 0700));
  Owner owner;
  Scanner scanner(
      2,
      [&](DirId dir, int fd, std::string_view handle) -> Status {
        EXPECT_EQ(handle, *io::handle_of(fd));
        EXPECT_TRUE(io::create_file(fd, "made_by_" + std::to_string(dir.value)));
        if (dir == root_dir) return {};
        return fail(ErrorCode::limit, "no more watches");
      },
      [&] { owner.wake(); });
  std::map<std::string, Listing> all = owner.scan(scanner, root);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_NE(child_of(all[""], "made_by_1"), nullptr);
  EXPECT_NE(child_of(all["/sub"], "made_by_2"), nullptr);
  EXPECT_FALSE(all[""].watch_error);
  EXPECT_EQ(all["/sub"].watch_error->code, ErrorCode::limit);
  EXPECT_FALSE(all["/sub"].error) << "it is listed nevertheless";
}

TEST(Scanner, WhatCannotBeOpenedIsSaid) {
  const ScratchDir root;
  root.write("file", "");
  ASSERT_TRUE(io::make_symlink(root.fd(), "link", "/"));
  Owner owner;
  Scanner scanner(1, watch_nothing, [&] { owner.wake(); });
  const auto parent = std::make_shared<Fd>(::dup(root.fd()));
  for (const char* name : {"none", "file", "link", ".."}) {
    scanner.post({.dir = DirId{5}, .parent = parent, .name = name});
    ASSERT_TRUE(owner.sleep());
    const std::vector<Listing> taken = scanner.take();
    ASSERT_EQ(taken.size(), 1U);
    EXPECT_TRUE(taken[0].error) << name;
    EXPECT_TRUE(taken[0].children.empty());
  }
}

// Names come and go while they are listed: each child is whole, or says why not, and what stays is
// there.
TEST(Scanner, SurvivesATreeThatChanges) {
  const ScratchDir root;
  plant(root.fd(), 2, 4, 20);
  std::atomic<bool> stop = false;
  std::thread changer([&] {
    for (int i = 0; !stop; ++i) {
      const std::string name = "t" + std::to_string(i % 50);
      if (!io::unlink_at(root.fd(), name) && !io::create_file(root.fd(), name)) return;
      static_cast<void>(io::rename_noreplace(root.fd(), "d3", root.fd(), "moved"));
      static_cast<void>(io::rename_noreplace(root.fd(), "moved", root.fd(), "d3"));
    }
  });
  Owner owner;
  Scanner scanner(3, watch_nothing, [&] { owner.wake(); });
  for (int round = 0; round < 20; ++round) {
    std::map<std::string, Listing> all = owner.scan(scanner, root);
    for (int f = 0; f < 20; ++f) {
      const Child* child = child_of(all[""], "f" + std::to_string(f));
      ASSERT_NE(child, nullptr);
      ASSERT_FALSE(child->error);
    }
    for (const Child& child : all[""].children) {
      if (child.error) {
        EXPECT_EQ(child.error->code, ErrorCode::not_found);
        EXPECT_EQ(child.stat.local.inode, 0U);
      }
    }
    ASSERT_FALSE(all["/d1"].error);
  }
  stop = true;
  changer.join();
}

TEST(Scanner, WaitsAtItsBoundAndGoesOn) {
  const ScratchDir root;
  const auto parent = std::make_shared<Fd>(::dup(root.fd()));
  constexpr size_t count = listings_waiting_max * 2;
  for (size_t i = 0; i < count; ++i) {
    ASSERT_TRUE(io::make_dir(root.fd(), std::to_string(i), 0700));
  }
  std::atomic<size_t> begun = 0;
  const auto count_begun = [&](DirId, int, std::string_view) -> Status {
    ++begun;
    return {};
  };
  constexpr size_t workers = 3;
  Scanner scanner(workers, count_begun, [] {});
  for (size_t i = 0; i < count; ++i) {
    scanner.post({.dir = DirId{i + 1}, .parent = parent, .name = std::to_string(i)});
  }
  while (begun < listings_waiting_max + workers) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(begun, listings_waiting_max + workers) << "a worker holds one listing, and waits";
  size_t taken = 0;
  while (taken < count) taken += scanner.take().size();
  EXPECT_EQ(taken, count);
  EXPECT_TRUE(scanner.idle());
}

TEST(Scanner, EndsWithWorkersWaitingAtTheBound) {
  const ScratchDir root;
  const auto self = std::make_shared<Fd>(::dup(root.fd()));
  std::atomic<size_t> begun = 0;
  const auto count_begun = [&](DirId, int, std::string_view) -> Status {
    ++begun;
    return {};
  };
  Scanner scanner(2, count_begun, [] {});
  for (size_t i = 0; i < listings_waiting_max * 3; ++i)
    scanner.post({.dir = DirId{1}, .self = self});
  while (begun < listings_waiting_max + 2) std::this_thread::yield();
}

TEST(Scanner, CancelDropsWhatIsNotBegun) {
  const ScratchDir root;
  const auto self = std::make_shared<Fd>(::dup(root.fd()));
  std::mutex gate;
  gate.lock();
  std::atomic<size_t> begun = 0;
  Owner owner;
  Scanner scanner(
      1,
      [&](DirId, int, std::string_view) -> Status {
        ++begun;
        const std::scoped_lock wait(gate);
        return {};
      },
      [&] { owner.wake(); });
  for (int i = 0; i < 100; ++i) scanner.post({.dir = DirId{1}, .self = self});
  while (begun == 0) std::this_thread::yield();
  scanner.cancel();
  EXPECT_FALSE(scanner.idle()) << "one is being read";
  gate.unlock();
  ASSERT_TRUE(owner.sleep());
  EXPECT_EQ(scanner.take().size(), 1U);
  EXPECT_TRUE(scanner.idle());
  EXPECT_EQ(begun, 1U);
  scanner.post({.dir = DirId{2}, .self = self});  // and it goes on
  ASSERT_TRUE(owner.sleep());
  EXPECT_EQ(scanner.take().at(0).dir, DirId{2});
}

TEST(Scanner, ClosesWhatItOpened) {
  const ScratchDir root;
  plant(root.fd(), 3, 6, 1);
  const size_t before = open_fds();
  {
    Owner owner;
    Scanner scanner(3, watch_nothing, [&] { owner.wake(); });
    owner.scan(scanner, root).clear();
    EXPECT_EQ(open_fds(), before);
  }
  EXPECT_EQ(open_fds(), before);
}

}  // namespace
}  // namespace repl::scan
