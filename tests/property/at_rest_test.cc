// A tree that came to rest: what its replica stands at is a state that the primary's tree had, and
// it says so, whatever the cuts before were.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "tests/support/engine_pair.h"

namespace repl::test {
namespace {

// Nothing changes any more; the cut that says so is on its way.
void expect_exact(EnginePair& pair) {
  std::string last;
  for (int tries = 0; tries < 1000 && last != "exact"; ++tries) {
    last = pair.b.facts().consistency;
    if (last != "exact") std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(last, "exact");
}

TEST(AtRest, AReplicaOfWhatAScanFoundIsExact) {
  EnginePair pair;
  std::filesystem::create_directories(pair.a.options.root + "/d");
  for (int i = 0; i < 20; ++i) std::ofstream(pair.a.options.root + "/d/" + std::to_string(i)) << i;
  pair.start();
  ASSERT_EQ(pair.settle().result, run::WaitResult::reached);
  expect_exact(pair);
  pair.cut();
  std::ofstream(pair.a.options.root + "/while it was away") << "x";
  pair.connect();
  ASSERT_EQ(pair.settle().result, run::WaitResult::reached);
  expect_exact(pair);
}

}  // namespace
}  // namespace repl::test
