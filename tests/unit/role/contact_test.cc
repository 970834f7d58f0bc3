// The decision at contact, over every combination of what two nodes can be. The invariants are
// checked for all; the rows that matter are named.
#include "engine/role/contact.h"

#include <gtest/gtest.h>

#include "engine/base/limits.h"
#include "engine/role/node_state.h"
#include "engine/role/parting.h"
#include "tests/unit/role/reigns.h"

namespace repl::role {
namespace {

Hello primary() {
  Hello hello;
  hello.node = "p";
  hello.tree = "t";
  hello.role = Role::primary;
  hello.position = {.epoch = Epoch{1}, .reign = reign(2), .cut = CutNumber{50}};
  hello.epoch_seen = Epoch{1};
  hello.lineage = {{.reign = reign(1), .epoch = Epoch{1}, .began_at = CutNumber{0}},
                   {.reign = reign(2), .epoch = Epoch{1}, .began_at = CutNumber{30}}};
  hello.synced = true;
  hello.content_known = true;
  hello.content.low = 7;
  return hello;
}

Hello secondary() {
  Hello hello = primary();
  hello.node = "s";
  hello.role = Role::secondary;
  return hello;
}

Hello stranger() {
  Hello hello;
  hello.node = "s";
  hello.tree = "t";
  hello.synced = true;
  hello.content_known = true;
  hello.content.low = 8;
  return hello;
}

TEST(Send, EqualPositionAndFingerprintIsInSync) {
  EXPECT_EQ(decide_send(primary(), secondary(), false).send, Send::in_sync);
}

TEST(Send, EqualPositionWithAnotherFingerprintIsNot) {
  Hello peer = secondary();
  peer.content.low = 99;
  EXPECT_EQ(decide_send(primary(), peer, false).send, Send::compare)
      << "the log has nothing to say";
}

TEST(Send, ABitBehindGetsWhatChanged) {
  Hello peer = secondary();
  peer.position.cut = CutNumber{44};
  const SendDecision decision = decide_send(primary(), peer, false);
  EXPECT_EQ(decision.send, Send::changes);
  EXPECT_EQ(decision.since, CutNumber{44});
}

TEST(Send, APeerOfTheFormerReignWithinTheCommonPastGetsWhatChanged) {
  Hello peer = secondary();
  peer.position = {.epoch = Epoch{1}, .reign = reign(1), .cut = CutNumber{30}};
  EXPECT_EQ(decide_send(primary(), peer, false).send, Send::changes);
}

TEST(Send, APeerThatHoldsMoreOfTheFormerReignIsCompared) {
  Hello peer = secondary();
  peer.position = {.epoch = Epoch{1}, .reign = reign(1), .cut = CutNumber{31}};
  EXPECT_EQ(decide_send(primary(), peer, false).send, Send::compare);
}

// After a loss of power older files are not pushed over newer ones.
TEST(Send, WhatWasLostWithThePowerIsNotOverwritten) {
  for (const uint64_t of : {1, 2, 9}) {
    for (const uint64_t cut : {29, 30, 31, 50}) {
      for (const bool lost : {false, true}) {
        Hello peer = secondary();
        peer.position = {.epoch = Epoch{1}, .reign = reign(of), .cut = CutNumber{cut}};
        peer.content.low = 99;
        const std::vector<Reign> after = lost ? std::vector{reign(2)} : std::vector<Reign>{};
        const SendDecision decision = decide_send(primary(), peer, false, after);
        if (of == 1 && cut > 30 && lost) {
          EXPECT_EQ(decision.send, Send::nothing) << cut;
          EXPECT_FALSE(decision.wait) << "a person must see it";
          EXPECT_NE(decision.reason.find("lost with the power"), std::string::npos);
          EXPECT_EQ(decide_send(primary(), peer, true, after).send, Send::compare)
              << "a mirror's source wins";
          peer.content = primary().content;
          EXPECT_EQ(decide_send(primary(), peer, false, after).send, Send::compare)
              << "nothing is newer there";
          Hello reading = primary();
          reading.content_known = false;
          EXPECT_TRUE(decide_send(reading, peer, false, after).digests_needed);
        } else {
          EXPECT_EQ(decision.send, decide_send(primary(), peer, false).send) << of << " " << cut;
        }
      }
    }
  }
}

TEST(Send, ACrashInAPublishIsCompared) {
  Hello peer = secondary();
  peer.incomplete = true;
  EXPECT_EQ(decide_send(primary(), peer, false).send, Send::compare);
}

TEST(Send, APeerThatKnowsMoreOfOurReignStopsUs) {
  Hello peer = secondary();
  peer.position.cut = CutNumber{51};
  const SendDecision decision = decide_send(primary(), peer, false);
  EXPECT_EQ(decision.send, Send::nothing);
  EXPECT_FALSE(decision.wait) << "a person must see it";
}

TEST(Send, AnotherHistoryGetsNothing) {
  Hello peer = secondary();
  peer.position.reign = reign(9);
  EXPECT_EQ(decide_send(primary(), peer, false).send, Send::nothing);
}

// --- who was the primary before, and comes back
// ------------------------------------------------------------------

// The primary of epoch 2, promoted at cut 50 of reign 2.
Hello promoted() {
  Hello hello = primary();
  hello.node = "n";
  hello.position = {.epoch = Epoch{2}, .reign = reign(3), .cut = CutNumber{60}};
  hello.epoch_seen = Epoch{2};
  hello.lineage.push_back({.reign = reign(3), .epoch = Epoch{2}, .began_at = CutNumber{50}});
  hello.content.low = 99;
  return hello;
}
Hello returning(uint64_t cut) {
  Hello hello = secondary();
  hello.position.cut = CutNumber{cut};
  return hello;
}

TEST(Returning, WithoutChangesOfItsOwnFollowsByItself) {
  for (const uint64_t cut : {30, 49, 50}) {
    EXPECT_TRUE(decide_receive(returning(cut), promoted(), false).accept) << cut;
    EXPECT_EQ(decide_send(promoted(), returning(cut), false).send, Send::changes) << cut;
  }
}

TEST(Returning, WithChangesOfItsOwnWaitsForAPerson) {
  for (const bool restarted : {false, true}) {
    Hello self = returning(51);
    if (restarted) {
      self.position.reign = reign(8);
      self.lineage.push_back({.reign = reign(8), .epoch = Epoch{1}, .began_at = CutNumber{50}});
    }
    const ReceiveDecision receive = decide_receive(self, promoted(), false);
    EXPECT_FALSE(receive.accept);
    EXPECT_FALSE(receive.wait);
    EXPECT_TRUE(receive.diverged);
    EXPECT_NE(receive.reason.find("repl catchup --from n t"), std::string::npos) << receive.reason;
    const SendDecision send = decide_send(promoted(), self, false);
    EXPECT_EQ(send.send, Send::nothing);
    EXPECT_FALSE(send.wait);
    EXPECT_NE(send.reason.find("repl catchup --from n t"), std::string::npos) << send.reason;

    self.catch_up = true;
    EXPECT_TRUE(decide_receive(self, promoted(), false).accept);
    EXPECT_EQ(decide_send(promoted(), self, false).send, Send::compare);
  }
}

TEST(Returning, WhatIsEqualHasNothingToLose) {
  Hello self = returning(51);
  self.content = promoted().content;
  EXPECT_TRUE(decide_receive(self, promoted(), false).accept);
  EXPECT_EQ(decide_send(promoted(), self, false).send, Send::compare);
  self.content_known = false;
  EXPECT_FALSE(decide_receive(self, promoted(), false).accept);
}

TEST(Returning, AThirdNodeThatHasMoreThanThePromotedOneIsNotCutBack) {
  Hello third = secondary();
  third.node = "t";
  third.position.cut = CutNumber{55};  // received from the one that died
  EXPECT_TRUE(decide_receive(third, promoted(), false).diverged);
  EXPECT_EQ(decide_send(promoted(), third, false).send, Send::nothing);
}

TEST(Returning, DriftThatWasFoundAloneHoldsThePrimaryOff) {
  Hello self = secondary();
  self.drifted = true;
  const SendDecision send = decide_send(primary(), self, false);
  EXPECT_EQ(send.send, Send::nothing);
  EXPECT_NE(send.reason.find("repl catchup --from p t"), std::string::npos) << send.reason;
  EXPECT_NE(send.reason.find("repl promote --force t"), std::string::npos) << send.reason;
  self.catch_up = true;
  EXPECT_NE(decide_send(primary(), self, false).send, Send::nothing);
}

TEST(Returning, AStrangerWithContentJoinsOnAPersonsWord) {
  Hello self = stranger();
  EXPECT_TRUE(decide_receive(self, primary(), false).diverged);
  EXPECT_EQ(decide_send(primary(), self, false).send, Send::nothing);
  self.catch_up = true;
  EXPECT_TRUE(decide_receive(self, primary(), false).accept);
  EXPECT_EQ(decide_send(primary(), self, false).send, Send::compare);
}

TEST(Returning, AnotherHistoryIsNotJoinedOnAPersonsWord) {
  Hello self = returning(10);
  self.position.reign = reign(9);
  self.lineage = {{.reign = reign(9), .epoch = Epoch{1}, .began_at = CutNumber{0}}};
  self.catch_up = true;
  EXPECT_FALSE(decide_receive(self, promoted(), false).accept);
  EXPECT_EQ(decide_send(promoted(), self, false).send, Send::nothing);
}

TEST(Returning, OfTwoPrimariesTheOlderGivesWayAndTwoOfOneParentDoNot) {
  const Hello old = primary();
  EXPECT_TRUE(superseded(old, promoted()));
  EXPECT_FALSE(superseded(promoted(), old));
  EXPECT_TRUE(decide_send(promoted(), old, false).wait);
  Hello other = promoted();
  other.position.reign = reign(4);
  other.lineage.back().reign = reign(4);
  EXPECT_FALSE(superseded(promoted(), other));
  EXPECT_FALSE(superseded(other, promoted()));
  EXPECT_NE(decide_send(promoted(), other, false).reason.find("repl demote t"), std::string::npos);
  other.position.epoch = other.epoch_seen = other.lineage.back().epoch = Epoch{7};
  EXPECT_FALSE(superseded(promoted(), other)) << "its history has nothing of epoch 2";
  Hello witness = secondary();
  witness.lineage = promoted().lineage;
  EXPECT_TRUE(superseded(old, witness)) << "whoever tells it";
}

TEST(Returning, TwoPrimariesOfWhichNeitherEndsTheOthersReignAreRivals) {
  EXPECT_FALSE(rivals(promoted(), primary())) << "the older one gives way";
  EXPECT_FALSE(rivals(primary(), promoted()));
  EXPECT_FALSE(rivals(promoted(), secondary()));
  Hello other = promoted();
  other.position.reign = reign(4);
  other.lineage.back().reign = reign(4);
  EXPECT_TRUE(rivals(promoted(), other));
  EXPECT_TRUE(rivals(other, promoted()));
  other.drifted = true;
  EXPECT_FALSE(rivals(promoted(), other)) << "it says that what it has may be old";
}

TEST(Returning, OfTwoPrimariesEachIsNamedInTheCommandsThatResolveIt) {
  Hello other = promoted();
  other.node = "q";
  other.position.reign = reign(4);
  other.lineage.back().reign = reign(4);
  const std::string reason = decide_send(promoted(), other, false).reason;
  EXPECT_NE(reason.find("repl catchup --from " + promoted().node + " t` there"), std::string::npos)
      << reason;
  EXPECT_NE(reason.find("repl catchup --from q t` here"), std::string::npos) << reason;
}

TEST(Currency, MoreThanHalfOfTheNodesAndNoneOfANewerEpoch) {
  EXPECT_TRUE(heard_enough(1, 0));
  EXPECT_FALSE(heard_enough(2, 0));
  EXPECT_TRUE(heard_enough(2, 1));
  EXPECT_TRUE(heard_enough(3, 1));
  EXPECT_FALSE(heard_enough(4, 1));
  EXPECT_TRUE(vouches(primary(), secondary()));
  EXPECT_FALSE(vouches(primary(), promoted()));
  Hello newer = secondary();
  newer.epoch_seen = Epoch{2};
  EXPECT_FALSE(vouches(primary(), newer));
  Hello ahead = secondary();
  ahead.position.cut = CutNumber{51};
  EXPECT_FALSE(vouches(primary(), ahead)) << "this node's state went back";
}

// "Pruned" means "compared in full", not "another history".
TEST(Contact, APeerOfAPrunedReignIsCompared) {
  NodeState state = found_tree(reign(1));
  for (uint64_t i = 2; i <= limits::lineage_reigns_max + 20; ++i) {
    state.position.cut = CutNumber{10 * i};
    state = begin_run(state, reign(i));
  }
  Hello self = primary();
  self.lineage = state.lineage;
  self.position = state.position;
  Hello peer = secondary();
  peer.lineage = {{.reign = reign(1), .epoch = Epoch{1}, .began_at = CutNumber{0}},
                  {.reign = reign(2), .epoch = Epoch{1}, .began_at = CutNumber{20}}};
  for (const uint64_t of : {1, 2}) {
    peer.position = {.epoch = Epoch{1}, .reign = reign(of), .cut = CutNumber{15}};
    EXPECT_EQ(decide_send(self, peer, false).send, Send::compare) << of;
    EXPECT_TRUE(decide_receive(peer, self, false).accept) << of;
  }
  peer.position.cut = CutNumber{state.lineage[1].began_at.value + 1};
  EXPECT_EQ(decide_send(self, peer, false).send, Send::nothing) << "beyond what was pruned";
  EXPECT_FALSE(decide_receive(peer, self, false).accept);
  peer.position.cut = CutNumber{15};
  peer.lineage.front().reign = reign(5000);
  EXPECT_EQ(decide_send(self, peer, false).send, Send::nothing) << "founded by another";
  EXPECT_FALSE(decide_receive(peer, self, false).accept);
}

TEST(Send, TwoPrimariesPushNothing) {
  Hello peer = secondary();
  peer.role = Role::primary;
  EXPECT_EQ(decide_send(primary(), peer, false).send, Send::nothing);
}

TEST(Send, ANewerEpochStopsUs) {
  Hello peer = secondary();
  peer.epoch_seen = Epoch{2};
  EXPECT_EQ(decide_send(primary(), peer, false).send, Send::nothing);
}

TEST(Send, AnEmptyStrangerIsFilledAnEqualOneJoinsAnotherHolds) {
  Hello peer = stranger();
  peer.tree_empty = true;
  EXPECT_EQ(decide_send(primary(), peer, false).send, Send::first_sync);
  peer.tree_empty = false;
  const SendDecision other = decide_send(primary(), peer, false);
  EXPECT_EQ(other.send, Send::nothing);
  EXPECT_FALSE(other.wait);
  EXPECT_NE(other.reason.find("other content"), std::string::npos);
  EXPECT_EQ(decide_send(primary(), peer, true).send, Send::compare) << "a mirror was asked for";
  peer.content = primary().content;
  EXPECT_EQ(decide_send(primary(), peer, false).send, Send::compare);
}

TEST(Send, AStrangerIsComparedOnlyWithEveryDigestKnown) {
  Hello self = primary();
  self.content_known = false;
  const SendDecision decision = decide_send(self, stranger(), false);
  EXPECT_TRUE(decision.wait);
  EXPECT_TRUE(decision.digests_needed);
}

TEST(Receive, OnlyAPrimaryOfOurPastIsFollowed) {
  EXPECT_TRUE(decide_receive(secondary(), primary(), false).accept);
  Hello other = primary();
  other.lineage = {{.reign = reign(9), .epoch = Epoch{1}, .began_at = CutNumber{0}}};
  EXPECT_FALSE(decide_receive(secondary(), other, false).accept);
  Hello no_primary = primary();
  no_primary.role = Role::secondary;
  EXPECT_TRUE(decide_receive(secondary(), no_primary, false).wait);
}

TEST(Receive, ALowerEpochIsRefused) {
  Hello self = secondary();
  self.epoch_seen = Epoch{2};
  const ReceiveDecision decision = decide_receive(self, primary(), false);
  EXPECT_FALSE(decision.accept);
  EXPECT_FALSE(decision.wait);
}

TEST(Receive, OtherContentWithoutHistoryIsNeverOverwritten) {
  EXPECT_FALSE(decide_receive(stranger(), primary(), false).accept);
  Hello empty = stranger();
  empty.tree_empty = true;
  EXPECT_TRUE(decide_receive(empty, primary(), false).accept);
  Hello reading = stranger();
  reading.content_known = false;
  EXPECT_TRUE(decide_receive(reading, primary(), true).wait)
      << "who accepts says hello no more, and the primary waits to hear that the contents are "
         "known";
  reading.content_known = true;
  EXPECT_TRUE(decide_receive(reading, primary(), true).accept);
  Hello equal = stranger();
  equal.content = primary().content;
  EXPECT_TRUE(decide_receive(equal, primary(), false).accept);
}

// Every pair of states: whoever sends is a primary that has scanned, to a node that is none, of the
// same tree and policy; and never is anything sent that the other side would refuse for good.
TEST(Contact, InvariantsHoldForEveryPair) {
  std::vector<Hello> states;
  for (const Role role : {Role::none, Role::primary, Role::secondary}) {
    for (const uint64_t of : {0, 1, 2, 9}) {
      for (const uint64_t cut : {10, 30, 50, 60}) {
        for (int bits = 0; bits < 32; ++bits) {
          Hello hello = primary();
          hello.role = role;
          hello.position.reign = of == 0 ? Reign{} : reign(of);
          hello.position.cut = CutNumber{cut};
          if (of == 0 || of == 9)
            hello.lineage = {{.reign = hello.position.reign, .epoch = Epoch{1}, .began_at = {}}};
          if (of == 0) hello.lineage.clear();
          hello.synced = (bits & 1) != 0;
          hello.content_known = (bits & 2) != 0;
          hello.tree_empty = (bits & 4) != 0;
          hello.content.low = (bits & 8) != 0 ? 7 : 8;
          hello.policy.low = (bits & 16) != 0 ? 1 : 2;
          states.push_back(hello);
        }
      }
    }
  }
  for (const Hello& a : states) {
    for (const Hello& b : states) {
      const SendDecision send = decide_send(a, b, false);
      EXPECT_TRUE(send.send != Send::nothing || !send.reason.empty());
      if (send.send == Send::nothing) continue;
      ASSERT_EQ(a.role, Role::primary);
      ASSERT_NE(b.role, Role::primary);
      ASSERT_TRUE(a.synced && b.synced);
      ASSERT_EQ(a.policy, b.policy);
      if (b.position.reign.is_set()) {
        ASSERT_TRUE(has_reign(a.lineage, b.position.reign));
      } else {
        ASSERT_TRUE(b.tree_empty || a.content == b.content);
      }
      const ReceiveDecision receive = decide_receive(b, a, false);
      ASSERT_TRUE(receive.accept) << receive.reason;
    }
  }
}

TEST(Founding, OnlyTheFirstAndOnlyWhenAllAreHeardAndNew) {
  const Hello self = stranger();
  EXPECT_TRUE(may_found(true, self, {{.node = "s", .heard = true}}));
  EXPECT_FALSE(may_found(false, self, {{.node = "s", .heard = true}}));
  EXPECT_FALSE(may_found(true, self, {{.node = "s", .heard = false}}));
  EXPECT_FALSE(may_found(true, self, {{.node = "s", .heard = true, .has_lineage = true}}));
  EXPECT_FALSE(
      may_found(true, self, {{.node = "s", .heard = true}, {.node = "u", .heard = false}}));
  EXPECT_FALSE(may_found(true, secondary(), {{.node = "s", .heard = true}}));
  Hello scanning = self;
  scanning.synced = false;
  EXPECT_FALSE(may_found(true, scanning, {{.node = "s", .heard = true}}));
}

}  // namespace
}  // namespace repl::role
