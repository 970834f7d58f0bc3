// What single failures of a disk, at a chosen call, must not lead to.
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "engine/run/tree_engine.h"
#include "tests/sim/cluster/disk.h"
#include "tests/sim/cluster/world.h"

namespace repl::sim {
namespace {

// One node, driven by hand.
struct Alone {
  std::string base;
  SimClock clock;
  NullLog log;
  Disk disk;
  std::unique_ptr<run::TreeEngine> engine;
  run::TreeFacts facts;

  Alone() {
    std::string pattern = (std::filesystem::temp_directory_path() / "repl-sim.XXXXXX").string();
    base = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(base + "/root");
    surroundings() = {.wall_ns = 2'000'000'000'000'000'000, .random = std::mt19937_64(1)};
    auto opened = run::TreeEngine::open({.name = "t",
                                         .node = "a",
                                         .nodes = {"a"},
                                         .root = base + "/root",
                                         .state_dir = base + "/state",
                                         .io = io::BackendChoice::plain,
                                         .scan_threads = 0,
                                         .sync_on = run::SyncThread::Where::owner},
                                        clock, log);
    EXPECT_TRUE(opened);
    engine = std::move(*opened);
    EXPECT_TRUE(engine->start());
  }
  ~Alone() {
    engine.reset();
    std::filesystem::remove_all(base);
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) {
      clock.ms += 10;
      engine->request_facts([this](run::TreeFacts now) { facts = std::move(now); });
      run_on(&disk);
      const bool goes_on = engine->turn(Duration::zero());
      run_on(nullptr);
      ASSERT_TRUE(goes_on);
    }
  }
};

TEST(DiskErrors, WhatACommitLeftBehindGoesWithTheNextFlushAndIsNotCommittedTwice) {
  Alone node;
  node.turns(300);
  ASSERT_TRUE(node.facts.current);
  std::ofstream(node.base + "/root/f") << "content";
  node.disk.fails_at = node.disk.changes;
  node.disk.fails_with = ENOSPC;
  for (int i = 0; i < 500 && node.disk.fails_at; ++i) node.turns(1);
  ASSERT_FALSE(node.disk.fails_at);
  node.turns(2);
  ASSERT_FALSE(node.facts.errors.empty());
  bool paused = false;
  node.engine->request_pause(true, [&](const Status& done) { paused = done.has_value(); });
  node.turns(1'000);
  EXPECT_TRUE(paused);
  EXPECT_TRUE(node.facts.errors.empty());
}

}  // namespace
}  // namespace repl::sim
