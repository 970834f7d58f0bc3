#include "engine/run/stamp.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/base/fd.h"
#include "engine/model/hash.h"

namespace repl::run {
namespace {

Reign reign(uint64_t n) { return Reign{{.high = n, .low = n}}; }
StampValue value(uint64_t of, uint64_t cut, int64_t wall = 1'000'000) {
  return {.position = {.epoch = Epoch{1}, .reign = reign(of), .cut = CutNumber{cut}},
          .wall_s = wall};
}
const Lineage lineage = {{.reign = reign(1), .epoch = Epoch{1}, .began_at = CutNumber{0}},
                         {.reign = reign(2), .epoch = Epoch{1}, .began_at = CutNumber{30}}};
const StampRecord record{.last = value(2, 50), .previous = value(2, 45)};

TEST(WentBack, ACrashLeavesTheFileBetweenThePreviousAndTheLast) {
  for (const uint64_t cut : {45, 47, 50})
    EXPECT_EQ(went_back(record, value(2, cut), lineage, true), WentBack::no) << cut;
  const StampRecord began{.last = value(2, 30), .previous = value(1, 28)};
  for (const uint64_t cut : {28, 30})
    EXPECT_EQ(went_back(began, value(1, cut), lineage, true), WentBack::no) << cut;
  EXPECT_EQ(went_back(record, std::nullopt, lineage, true), WentBack::no);
}

TEST(WentBack, AnOlderFileIsARestoredTree) {
  EXPECT_EQ(went_back(record, value(2, 44), lineage, true), WentBack::tree);
  EXPECT_EQ(went_back(record, value(1, 20), lineage, true), WentBack::tree);
  const StampRecord began{.last = value(2, 30), .previous = value(1, 28)};
  EXPECT_EQ(went_back(began, value(1, 27), lineage, true), WentBack::tree);
}

TEST(WentBack, WhatThePowerTookIsNoSnapshotUnlessItIsOld) {
  EXPECT_EQ(went_back(record, value(2, 44, 999'990), lineage, false), WentBack::no);
  EXPECT_EQ(went_back(record, value(2, 44, 990'000), lineage, false), WentBack::tree);
}

TEST(WentBack, ANewerFileIsARestoredState) {
  for (const bool settled : {false, true}) {
    EXPECT_EQ(went_back(record, value(2, 51), lineage, settled), WentBack::state);
    EXPECT_EQ(went_back(record, value(3, 10), lineage, settled), WentBack::state);
  }
}

// Commits, and a crash at each step of one.
TEST(Stamp, IsWrittenBehindTheCommitAndFoundAgain) {
  char dir[] = "/tmp/repl-stamp-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const Fd area(::open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto open_index = [&] {
    auto opened = Index::open(std::string(dir) + "/index", fingerprint_seed("t"));
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
  };
  role::NodeState state = role::found_tree(reign(1));
  const auto check = [&](bool write_file) {
    auto index = open_index();
    Stamp stamp;
    stamp.open(area.get(), *index);
    EXPECT_EQ(stamp.check(state, true), WentBack::no) << state.position.cut.value;
    state.position.cut = CutNumber{state.position.cut.value + 3};
    stamp.record(*index, state.position, 1000);
    EXPECT_TRUE(index->flush());
    if (write_file) {
      EXPECT_TRUE(stamp.committed(stamp.recorded()));
    }
  };
  for (const bool write_file : {true, true, false, true, false}) check(write_file);
  const std::string file = std::string(dir) + "/stamp";
  std::filesystem::copy_file(file, file + ".old");
  for (const bool write_file : {true, true}) check(write_file);
  std::filesystem::rename(file + ".old", file);
  auto index = open_index();
  Stamp stamp;
  stamp.open(area.get(), *index);
  EXPECT_EQ(stamp.check(state, true), WentBack::tree);
  std::filesystem::resize_file(file, 20);
  Stamp torn;
  torn.open(area.get(), *index);
  EXPECT_EQ(torn.check(state, true), WentBack::no);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace repl::run
