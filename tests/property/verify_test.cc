// `repl verify --sha256` between two engines: equal, different where nothing saw the change, held,
// and a tree that does not hold still.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>

#include "tests/support/engine_pair.h"

namespace repl::test {
namespace {

using Outcome = run::VerifyAnswer::Outcome;

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}
// In place; size and times stay.
void flip(const std::string& path) {
  struct stat was{};
  ASSERT_EQ(::stat(path.c_str(), &was), 0);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(0).put(byte);
  file.close();
  const timespec times[2] = {was.st_atim, was.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

struct ProveTest : testing::Test {
  void begin() {
    std::filesystem::create_directories(root() + "/d/e");
    for (int i = 0; i < 50; ++i)
      write(root() + "/d/f" + std::to_string(i), std::string(i * 999, 'x'));
    write(root() + "/d/e/large", std::string(5 << 20, 'y'));
    std::filesystem::create_hard_link(root() + "/d/f7", root() + "/d/e/link");
    std::filesystem::create_symlink("f7", root() + "/d/symlink");
    pair.start();
    ASSERT_EQ(pair.settle().result, run::WaitResult::reached);
  }
  [[nodiscard]] std::string root() const { return pair.a.options.root; }
  [[nodiscard]] run::VerifyAnswer prove() {
    return pair.a.ask<run::VerifyAnswer>(
        [](auto& engine, auto answer) { engine.request_verify({.sha256 = true}, answer); });
  }
  EnginePair pair;
};

TEST_F(ProveTest, EqualTreesHaveOneDigestAndBothSidesReadAll) {
  begin();
  const run::VerifyAnswer answer = prove();
  ASSERT_EQ(answer.peers.size(), 1);
  EXPECT_EQ(answer.outcome, Outcome::equal) << answer.peers[0].detail;
  EXPECT_EQ(answer.sha256.size(), 64);
  EXPECT_EQ(answer.sha256, answer.peers[0].sha256);
  EXPECT_GT(answer.bytes_read, 5 << 20);
  write(root() + "/d/f3", "new");
  ASSERT_EQ(pair.settle().result, run::WaitResult::reached);
  const run::VerifyAnswer later = prove();
  EXPECT_EQ(later.outcome, Outcome::equal);
  EXPECT_NE(later.sha256, answer.sha256);
}

TEST_F(ProveTest, AByteThatChangedUnseenIsADifference) {
  pair.b.options.watch_live = false;
  begin();
  flip(pair.b.options.root + "/d/f9");
  EXPECT_EQ(pair.a.verify(false).outcome, Outcome::equal) << "the indexes know nothing of it";
  const run::VerifyAnswer answer = prove();
  EXPECT_EQ(answer.outcome, Outcome::different);
  EXPECT_NE(answer.sha256, answer.peers.at(0).sha256);
  EXPECT_EQ(answer.peers[0].differences, std::vector<std::string>{"d/f9"});
}

TEST_F(ProveTest, WhatIsHeldCannotBeProved) {
  begin();
  flip(pair.b.options.root + "/d/f9");
  for (int i = 0; i < 500 && pair.b.facts().held_keys == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const run::VerifyAnswer answer = prove();
  EXPECT_EQ(answer.outcome, Outcome::held) << answer.peers.at(0).detail;
  EXPECT_TRUE(answer.peers.at(0).sha256.empty());
}

// The digests are of a position at which the tree held still, or there is no answer.
TEST_F(ProveTest, WhileTheTreeChangesItIsAskedAgain) {
  begin();
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      write(root() + "/d/f5", std::to_string(i));
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
  });
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    stop = true;
  });
  const run::VerifyAnswer answer = prove();
  stopper.join();
  writer.join();
  EXPECT_EQ(answer.outcome, Outcome::equal) << answer.peers.at(0).detail;
}

TEST_F(ProveTest, ATreeThatNeverHoldsStillIsSaidToBeOne) {
  begin();
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) write(root() + "/d/f5", std::to_string(i));
  });
  const run::VerifyAnswer answer = prove();
  stop = true;
  writer.join();
  EXPECT_EQ(answer.outcome, Outcome::failed);
  EXPECT_NE(answer.peers.at(0).detail.find("keeps changing"), std::string::npos);
}

// The second question comes while the first one is being answered.
TEST_F(ProveTest, TwoQuestionsAtOnceAreBothAnswered) {
  begin();
  auto first = std::async([this] { return prove(); });
  auto second = std::async([this] { return pair.a.verify(true); });
  EXPECT_EQ(prove().outcome, Outcome::equal);
  EXPECT_EQ(first.get().outcome, Outcome::equal);
  EXPECT_EQ(second.get().outcome, Outcome::equal);
}

}  // namespace
}  // namespace repl::test
