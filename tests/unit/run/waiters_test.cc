#include "engine/run/waiters.h"

#include <gtest/gtest.h>

namespace repl::run {
namespace {

MonotonicTime at(int ms) { return MonotonicTime(std::chrono::milliseconds(ms)); }

PeerStanding peer(uint64_t applied, uint64_t durable) {
  PeerStanding standing;
  standing.node = "s";
  standing.connected = true;
  standing.received = CutNumber{applied};
  standing.applied = CutNumber{applied};
  standing.durable = CutNumber{durable};
  return standing;
}

struct WaitersTest : testing::Test {
  void add(WaitRequest request, uint64_t builds_needed = 1) {
    waiters.add(request, [this](WaitAnswer a) { answer = std::move(a); }, builds_needed, at(0));
  }
  void step(int ms, uint64_t cut, bool clean, uint64_t builds,
            const std::vector<PeerStanding>& peers, bool scanning = false) {
    waiters.step(at(ms), CutNumber{cut}, clean, builds, scanning, peers);
  }
  Waiters waiters;
  std::optional<WaitAnswer> answer;
};

TEST_F(WaitersTest, EndsWhenEveryPeerHasTheCutThatHoldsEverything) {
  add({});
  step(1, 5, false, 0, {peer(5, 5)});
  EXPECT_FALSE(answer) << "something is dirty: the cut that holds it is not made yet";
  step(2, 6, true, 1, {peer(6, 5)});
  EXPECT_FALSE(answer);
  step(3, 6, true, 1, {peer(6, 6), peer(6, 5)});
  EXPECT_FALSE(answer);
  step(4, 6, true, 1, {peer(6, 6), peer(6, 6)});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::reached);
  EXPECT_EQ(answer->cut, CutNumber{6});
}

TEST_F(WaitersTest, AKeyThatIsHotForEverDoesNotHoldItUp) {
  add({}, 3);
  step(1, 7, false, 3, {peer(7, 7)});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::reached);
}

TEST_F(WaitersTest, AScanIsWaitedFor) {
  add({});
  step(1, 7, true, 5, {peer(7, 7)}, true);
  EXPECT_FALSE(answer);
}

TEST_F(WaitersTest, FailsFastWhenAPeerIsAway) {
  add({});
  PeerStanding away;
  away.node = "s";
  step(1, 7, true, 1, {away});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::peer_away);
}

TEST_F(WaitersTest, WaitsForAPeerThatIsAwayWhenTold) {
  add({.level = AckLevel::durable, .timeout_ms = {}, .wait_for_peers = true});
  PeerStanding away;
  away.node = "s";
  step(1, 7, true, 1, {away});
  EXPECT_FALSE(answer);
  step(2, 7, true, 1, {peer(7, 7)});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::reached);
}

TEST_F(WaitersTest, LevelsDiffer) {
  add({.level = AckLevel::applied, .timeout_ms = {}, .wait_for_peers = false});
  step(1, 7, true, 1, {peer(7, 3)});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::reached);
}

TEST_F(WaitersTest, TimesOut) {
  add({.level = AckLevel::durable, .timeout_ms = 100, .wait_for_peers = false});
  EXPECT_EQ(waiters.deadline(), at(100));
  step(99, 7, true, 1, {peer(7, 3)});
  EXPECT_FALSE(answer);
  step(100, 7, true, 1, {peer(7, 3)});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::timeout);
}

TEST_F(WaitersTest, HeldPathsAreNotReached) {
  add({});
  PeerStanding held = peer(7, 7);
  held.held_keys = 2;
  step(1, 7, true, 1, {held});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::held);
}

TEST_F(WaitersTest, WhatIsOwedIsNotReached) {
  add({});
  PeerStanding owes = peer(7, 7);
  owes.owes = true;
  step(1, 7, true, 1, {owes});
  EXPECT_FALSE(answer);
}

}  // namespace
}  // namespace repl::run
