#include "engine/run/record_scan.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

namespace repl::run {
namespace {

// A tree of `d` with 6 files and 4 files beside it, recorded; no more than 4 entries, or 30 %, may
// go unasked.
struct RecordScanTest : testing::Test {
  RecordScanTest() {
    char name[] = "/tmp/repl-record-scan-XXXXXX";
    dir = ::mkdtemp(name);
    std::filesystem::create_directories(path("d"));
    for (int i = 0; i < 6; ++i) write("d/f" + std::to_string(i));
    for (int i = 0; i < 4; ++i) write("g" + std::to_string(i));
    auto opened = TreeParts::open({.name = "t",
                                   .node = "a",
                                   .nodes = {"a", "b"},
                                   .root = path(""),
                                   .state_dir = dir + "/state",
                                   .watch_live = false},
                                  clock, log);
    EXPECT_TRUE(opened) << opened.error().message;
    parts = std::move(*opened);
    parts->start_ids();
    start();
    scan();
    EXPECT_EQ(entries(), 12U);
    d = parts->index->get(key("d"))->attr.dir;
  }
  ~RecordScanTest() override {
    observer.reset();
    held.reset();
    parts.reset();
    std::filesystem::remove_all(dir);
  }
  // As a daemon does.
  void start() {
    held.emplace(*parts->index, change::DeleteLimits{.on = true, .entries = 4, .percent = 30},
                 clock, log, "t");
    change::ObserverParts observed = parts->observer_parts();
    observed.may_replace = [this](const Key& at, const Entry& old) {
      return held->may_replace(at, old);
    };
    observer.emplace(std::move(observed));
  }
  std::unique_ptr<RecordScan> scan() {
    parts->dirs->next_generation();
    auto scan = std::make_unique<RecordScan>(*parts, *observer, &*held, CutNumber{++cut}, [] {});
    scan->begin(root_dir);
    finish(*scan);
    held->scanned();
    return scan;
  }
  static void finish(RecordScan& scan) {
    while (!scan.step()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  [[nodiscard]] std::string path(const std::string& name) const { return dir + "/root/" + name; }
  void write(const std::string& name) const { std::ofstream(path(name)) << name; }
  void remove(const std::string& name) const { std::filesystem::remove_all(path(name)); }
  void empty_root() const {
    for (const auto& entry : std::filesystem::directory_iterator(path(""))) {
      if (entry.path().filename() != parts->reserved_name) std::filesystem::remove_all(entry);
    }
  }
  static Key key(const std::string& name) { return Key{.dir = root_dir, .name = name}; }
  [[nodiscard]] uint64_t entries() const { return parts->index->counts().entries; }

  SystemClock clock;
  NullLog log;
  std::string dir;
  std::unique_ptr<TreeParts> parts;
  std::optional<change::HeldRemovals> held;
  std::optional<change::Observer> observer;
  uint64_t cut = 0;
  DirId d;
};

TEST_F(RecordScanTest, AFewAreRemoved) {
  remove("g0");
  remove("d/f0");
  EXPECT_TRUE(scan()->changed());
  EXPECT_EQ(entries(), 10U);
  EXPECT_TRUE(held->empty());
}

TEST_F(RecordScanTest, AMassDeleteIsHeldAndTheRestRecorded) {
  remove("d");
  write("new");
  const auto done = scan();
  EXPECT_FALSE(done->root_emptied());
  EXPECT_EQ(held->entries(), 7U);
  EXPECT_TRUE(parts->index->contains(key("d")));
  EXPECT_TRUE(parts->index->contains(key("new")));
  EXPECT_TRUE(done->unlisted().contains(d)) << "scanned, should it come back";
  remove("g0");
  static_cast<void>(scan());
  EXPECT_EQ(held->entries(), 8U);
}

TEST_F(RecordScanTest, WhatCameBackIsNotHeld) {
  std::filesystem::rename(path("d"), dir + "/away");
  static_cast<void>(scan());
  ASSERT_EQ(held->entries(), 7U);
  std::filesystem::rename(dir + "/away", path("d"));
  static_cast<void>(scan());
  EXPECT_TRUE(held->empty());
  EXPECT_FALSE(held->engaged());
}

TEST_F(RecordScanTest, AnEmptiedRootWaitsAndIsRemovedWhenAccepted) {
  empty_root();
  parts->dirs->next_generation();
  RecordScan emptied(*parts, *observer, &*held, CutNumber{++cut}, [] {});
  emptied.begin(root_dir);
  finish(emptied);
  EXPECT_TRUE(emptied.root_emptied());
  EXPECT_TRUE(held->empty());
  EXPECT_EQ(entries(), 12U);
  emptied.accept_emptied_root();
  finish(emptied);
  EXPECT_FALSE(emptied.root_emptied());
  EXPECT_EQ(entries(), 1U);
  EXPECT_TRUE(held->empty());
  // What went so is no measure for what follows.
  for (int i = 0; i < 9; ++i) write("h" + std::to_string(i));
  static_cast<void>(scan());
  for (int i = 0; i < 4; ++i) remove("h" + std::to_string(i));
  static_cast<void>(scan());
  EXPECT_EQ(entries(), 6U);
}

// It was held key by key before the daemon stopped: so it is afterwards, and all else goes on.
TEST_F(RecordScanTest, AfterARestartWithSomethingHeldAnEmptyRootIsHeldKeyByKey) {
  remove("d");
  static_cast<void>(scan());
  ASSERT_TRUE(parts->index->flush());
  empty_root();
  start();
  const auto done = scan();
  EXPECT_FALSE(done->root_emptied());
  EXPECT_EQ(entries(), 12U);
  EXPECT_EQ(held->entries(), 11U);
}

TEST_F(RecordScanTest, AFileInTheDirectorysPlaceWaits) {
  remove("d");
  write("d");
  static_cast<void>(scan());
  EXPECT_EQ(parts->index->get(key("d"))->attr.type, FileType::directory);
  EXPECT_EQ(held->entries(), 7U);
  static_cast<void>(held->approve());
  static_cast<void>(scan());
  EXPECT_EQ(parts->index->get(key("d"))->attr.type, FileType::regular);
  EXPECT_EQ(entries(), 6U);
}

// Each is more than may go, and neither does.
TEST_F(RecordScanTest, DirectoriesThatChangePlacesAreNotHeld) {
  std::filesystem::create_directory(path("e"));
  for (int i = 0; i < 6; ++i) write("e/e" + std::to_string(i));
  static_cast<void>(scan());
  ASSERT_EQ(entries(), 19U);
  std::filesystem::rename(path("d"), path("t"));
  std::filesystem::rename(path("e"), path("d"));
  std::filesystem::rename(path("t"), path("e"));
  static_cast<void>(scan());
  EXPECT_TRUE(held->empty());
  EXPECT_EQ(entries(), 19U);
  EXPECT_EQ(parts->index->get(key("e"))->attr.dir, d);
}

// A copy that is recorded for the first time has no brake.
TEST_F(RecordScanTest, WithoutABrakeEverythingGoes) {
  remove("d");
  RecordScan all(*parts, *observer, nullptr, CutNumber{++cut}, [] {});
  all.begin(root_dir);
  finish(all);
  EXPECT_EQ(entries(), 5U);
}

}  // namespace
}  // namespace repl::run
