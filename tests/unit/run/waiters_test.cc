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
  // The wait begins at 10 ms.
  void add(WaitRequest request) {
    waiters.add(request, [this](WaitAnswer a) { answer = std::move(a); }, at(10));
  }
  void step(int ms, uint64_t cut, const std::vector<PeerStanding>& peers,
            std::optional<int> oldest_change = {}) {
    OwnStanding own{.cut = CutNumber{cut}};
    if (oldest_change) own.oldest_change = at(*oldest_change);
    waiters.step(at(ms), own, peers);
  }
  Waiters waiters;
  std::optional<WaitAnswer> answer;
};

TEST_F(WaitersTest, EndsWhenEveryPeerHasTheCutThatHoldsEverything) {
  add({});
  step(11, 5, {peer(5, 5)}, 10);
  EXPECT_FALSE(answer) << "something is dirty: the cut that holds it is not made yet";
  step(12, 6, {peer(6, 5)});
  EXPECT_FALSE(answer);
  step(13, 6, {peer(6, 6), peer(6, 5)});
  EXPECT_FALSE(answer);
  step(14, 6, {peer(6, 6), peer(6, 6)});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::reached);
  EXPECT_EQ(answer->cut, CutNumber{6});
}

// However many cuts were made meanwhile: one may take only a part of what was dirty.
TEST_F(WaitersTest, WhatWasWrittenBeforeIsWaitedFor) {
  add({});
  step(11, 7, {peer(7, 7)}, 5);
  step(12, 8, {peer(8, 8)}, 5);
  EXPECT_FALSE(answer);
  step(13, 9, {peer(9, 9)}, 12);
  ASSERT_TRUE(answer);
}

TEST_F(WaitersTest, WhatIsWrittenLaterDoesNotHoldItUp) {
  add({});
  step(12, 7, {peer(7, 7)}, 11);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::reached);
}

TEST_F(WaitersTest, AScanIsWaitedFor) {
  add({});
  waiters.step(at(11), {.cut = CutNumber{7}, .scanning = true}, {peer(7, 7)});
  EXPECT_FALSE(answer);
}

TEST_F(WaitersTest, WhatCannotBeReadIsNotReached) {
  add({});
  waiters.step(at(11), {.cut = CutNumber{7}, .unreadable = 1}, {peer(7, 7)});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::held);
}

TEST_F(WaitersTest, FailsFastWhenAPeerIsAway) {
  add({});
  PeerStanding away;
  away.node = "s";
  step(1, 7, {away});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::peer_away);
}

TEST_F(WaitersTest, WaitsForAPeerThatIsAwayWhenTold) {
  add({.level = AckLevel::durable, .timeout_ms = {}, .wait_for_peers = true});
  PeerStanding away;
  away.node = "s";
  step(1, 7, {away});
  EXPECT_FALSE(answer);
  step(2, 7, {peer(7, 7)});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::reached);
}

TEST_F(WaitersTest, LevelsDiffer) {
  add({.level = AckLevel::applied, .timeout_ms = {}, .wait_for_peers = false});
  step(1, 7, {peer(7, 3)});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::reached);
}

TEST_F(WaitersTest, TimesOut) {
  add({.level = AckLevel::durable, .timeout_ms = 100, .wait_for_peers = false});
  EXPECT_EQ(waiters.deadline(at(10)), at(110));
  step(109, 7, {peer(7, 3)});
  EXPECT_FALSE(answer);
  step(110, 7, {peer(7, 3)});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::timeout);
}

TEST_F(WaitersTest, HeldPathsAreNotReached) {
  add({});
  PeerStanding held = peer(7, 7);
  held.held_keys = 2;
  step(1, 7, {held});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, WaitResult::held);
}

TEST_F(WaitersTest, WhatIsOwedIsNotReached) {
  add({});
  PeerStanding owes = peer(7, 7);
  owes.owes = true;
  step(1, 7, {owes});
  EXPECT_FALSE(answer);
}

TEST_F(WaitersTest, WhoWentAwayIsForgottenSoon) {
  bool gone = false;
  WaitRequest request;
  request.abandoned = [&] { return gone; };
  add(request);
  EXPECT_EQ(waiters.deadline(at(20)), at(1020)) << "nothing else may happen for long";
  step(30, 7, {peer(7, 3)});
  EXPECT_FALSE(waiters.empty());
  gone = true;
  step(40, 7, {peer(7, 7)});
  EXPECT_TRUE(waiters.empty());
  EXPECT_FALSE(answer);
}

}  // namespace
}  // namespace repl::run
