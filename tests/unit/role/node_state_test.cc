#include "engine/role/node_state.h"

#include <gtest/gtest.h>

#include "engine/base/limits.h"
#include "tests/unit/role/reigns.h"

namespace repl::role {
namespace {

constexpr size_t handover_bytes = 1 + 16 + 1 + 8 + 8 + 1;  // of a node without a switchover

NodeState with_history() {
  NodeState state = found_tree(reign(1));
  state.position.cut = CutNumber{40};
  return state;
}

TEST(NodeState, SurvivesItsEncoding) {
  NodeState state = with_history();
  state.clean_stop = true;
  state.boot.low = 3;
  state.after_power_loss = {reign(1)};
  state.id_counter = 77;
  state.epoch_seen = Epoch{9};
  state.handover = {.stage = HandoverStage::handed,
                    .token = {.high = 1, .low = 2},
                    .peer = "mgmt2",
                    .final_cut = CutNumber{40},
                    .epoch = Epoch{10},
                    .hook_due = true};
  const Result<NodeState> decoded = decode_node_state(encode(state));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, state);
}

TEST(NodeState, EveryTruncationAndTailIsRefused) {
  const std::string record = encode(with_history());
  for (size_t size = 0; size < record.size(); ++size) {
    EXPECT_FALSE(decode_node_state(record.substr(0, size))) << size;
  }
  EXPECT_FALSE(decode_node_state(record + "x"));
}

TEST(NodeState, UnknownVersionAndRoleAreRefused) {
  std::string record = encode(with_history());
  record[0] = 4;
  EXPECT_FALSE(decode_node_state(record));
  record[0] = 3;
  ASSERT_TRUE(decode_node_state(record));
  record[1] = 3;
  EXPECT_FALSE(decode_node_state(record));
  record[1] = 1;
  record[record.size() - handover_bytes] = 5;
  EXPECT_FALSE(decode_node_state(record)) << "an unknown stage";
  record[record.size() - handover_bytes] = 0;
  record.back() = 2;
  EXPECT_FALSE(decode_node_state(record));
}

TEST(BeginRun, ACleanStopKeepsTheReign) {
  NodeState state = with_history();
  state.clean_stop = true;
  const NodeState begun = begin_run(state, reign(2));
  EXPECT_EQ(begun.position, state.position);
  EXPECT_FALSE(begun.clean_stop) << "the next stop must prove itself again";
}

TEST(BeginRun, AnUncleanStopBeginsANewReignWhereTheIndexStands) {
  const NodeState begun = begin_run(with_history(), reign(2));
  EXPECT_EQ(begun.position.reign, reign(2));
  ASSERT_EQ(begun.lineage.size(), 2U);
  EXPECT_EQ(begun.lineage.back().began_at, CutNumber{40});
  // What a peer holds up to there is common past; what it holds beyond is not.
  EXPECT_TRUE(
      is_ancestor({.epoch = Epoch{1}, .reign = reign(1), .cut = CutNumber{40}}, begun.lineage));
  EXPECT_FALSE(
      is_ancestor({.epoch = Epoch{1}, .reign = reign(1), .cut = CutNumber{41}}, begun.lineage));
}

TEST(BeginRun, ALossOfPowerIsRemembered) {
  const Bits128 one{.high = 1, .low = 1};
  const Bits128 two{.high = 2, .low = 2};
  const Position beyond{.epoch = Epoch{1}, .reign = reign(1), .cut = CutNumber{41}};
  NodeState state = with_history();
  state.boot = one;
  const NodeState crashed = begin_run(state, reign(2), one);
  EXPECT_FALSE(lost_with_power(beyond, crashed.lineage, crashed.after_power_loss))
      << "the page cache is what it was";
  NodeState lost = begin_run(state, reign(2), two);
  EXPECT_TRUE(lost_with_power(beyond, lost.lineage, lost.after_power_loss));
  Position within = beyond;
  within.cut = CutNumber{40};
  EXPECT_FALSE(lost_with_power(within, lost.lineage, lost.after_power_loss));
  // A crash under the same boot afterwards does not make it good.
  lost = *decode_node_state(encode(lost));
  lost.position.cut = CutNumber{60};
  const NodeState again = begin_run(lost, reign(3), two);
  EXPECT_TRUE(lost_with_power(beyond, again.lineage, again.after_power_loss));
  EXPECT_FALSE(lost_with_power({.epoch = Epoch{1}, .reign = reign(2), .cut = CutNumber{61}},
                               again.lineage, again.after_power_loss));
  state.clean_stop = true;
  EXPECT_TRUE(begin_run(state, reign(2), two).after_power_loss.empty()) << "an ordinary reboot";
  state.clean_stop = false;
  state.boot = Bits128{};
  EXPECT_TRUE(begin_run(state, reign(2), two).after_power_loss.empty()) << "nobody knows";
}

// Of version 2: no switchover. Of version 1: no boot, no losses, and a byte that is not used.
TEST(NodeState, FormerVersionsAreRead) {
  NodeState state = with_history();
  state.id_counter = 5;
  std::string record = encode(state);
  record.resize(record.size() - handover_bytes);
  record[0] = 2;
  EXPECT_EQ(*decode_node_state(record), state);
  const size_t boot_at = 1 + 1 + 8 + 16 + 8 + 8 + 1;
  record.erase(boot_at, 15);
  record.pop_back();
  record[0] = 1;
  const Result<NodeState> decoded = decode_node_state(record);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, state);
}

TEST(BeginRun, ASecondaryKeepsItsPosition) {
  NodeState state = follow(NodeState{}, with_history().lineage, with_history().position);
  EXPECT_EQ(begin_run(state, reign(5)).position, state.position);
}

// A secondary that met a restarted primary has its lineage at once, and its cuts later.
TEST(BeginReign, WhatWasFollowedWithoutACutIsNoPast) {
  NodeState primary = begin_run(with_history(), reign(2));
  NodeState state = follow(NodeState{}, primary.lineage, with_history().position);
  const NodeState promoted = begin_reign(state, reign(3), Epoch{2});
  EXPECT_EQ(promoted.lineage.size(), 2U);
  EXPECT_FALSE(has_reign(promoted.lineage, reign(2)));
  state.position.reign = reign(2);
  EXPECT_TRUE(has_reign(begin_reign(state, reign(3), Epoch{2}).lineage, reign(2)));
  EXPECT_EQ(promoted.position,
            (Position{.epoch = Epoch{2}, .reign = reign(3), .cut = CutNumber{40}}));
  EXPECT_EQ(promoted.epoch_seen, Epoch{2});
  state.position.reign = reign(8);  // not even in the lineage that it took over
  const NodeState alone = begin_reign(state, reign(3), Epoch{2});
  EXPECT_FALSE(
      is_ancestor({.epoch = Epoch{1}, .reign = reign(2), .cut = CutNumber{40}}, alone.lineage));
  EXPECT_FALSE(
      is_ancestor({.epoch = Epoch{1}, .reign = reign(1), .cut = CutNumber{40}}, alone.lineage));
  EXPECT_TRUE(is_ancestor(state.position, alone.lineage));
}

// Every reign and cut of a pruned lineage: what is remembered is certain, what is not may have been
// part of it, up to where the memory begins again, and only under the same founding reign.
TEST(Lineage, WhatWasPrunedMayBePartOfIt) {
  NodeState state = with_history();
  const uint64_t reigns = limits::lineage_reigns_max + 20;
  for (uint64_t i = 2; i <= reigns; ++i) {
    state = begin_run(state, reign(i));
    state.position.cut = CutNumber{state.position.cut.value + 10};
  }
  const uint64_t first_known = reigns - limits::lineage_reigns_max + 2;
  const CutNumber known_from = state.lineage[1].began_at;
  ASSERT_EQ(state.lineage[1].reign, reign(first_known));
  for (uint64_t of = 1; of <= reigns + 1; ++of) {
    for (uint64_t cut = 1; cut <= state.position.cut.value + 5; cut += 3) {
      const Position at{.epoch = Epoch{1}, .reign = reign(of), .cut = CutNumber{cut}};
      const bool known = of >= first_known && of <= reigns;
      EXPECT_FALSE(!known && is_ancestor(at, state.lineage)) << of << " " << cut;
      EXPECT_TRUE(of != reigns || is_ancestor(at, state.lineage));
      const bool gap = of != 1 && !known && cut <= known_from.value;
      EXPECT_EQ(may_be_pruned(at, reign(1), state.lineage), gap) << of << " " << cut;
      EXPECT_FALSE(may_be_pruned(at, reign(999), state.lineage)) << "founded by another";
      EXPECT_FALSE(may_be_pruned(at, Reign{}, state.lineage));
      EXPECT_FALSE(may_be_pruned(at, reign(1), with_history().lineage)) << "nothing was pruned";
    }
  }
}

TEST(Lineage, IsBounded) {
  NodeState state = with_history();
  for (uint64_t i = 2; i < limits::lineage_reigns_max + 50; ++i) state = begin_run(state, reign(i));
  EXPECT_EQ(state.lineage.size(), limits::lineage_reigns_max);
  EXPECT_TRUE(has_reign(state.lineage, reign(1))) << "the founding reign says whose history it is";
  EXPECT_FALSE(has_reign(state.lineage, reign(2)));
  EXPECT_TRUE(decode_node_state(encode(state)));
}

// A replica that holds paths back is promoted: nodes that have more than it are not of its past.
TEST(NodeState, APromotionFromWhatIsNotWholeBeginsFurtherBack) {
  NodeState state = found_tree(reign(1));
  state.position.cut = CutNumber{30};
  state = begin_run(state, reign(2));
  state.position.cut = CutNumber{50};
  const NodeState whole = promote(state, reign(3));
  EXPECT_EQ(whole.position.epoch, Epoch{2});
  EXPECT_EQ(whole.lineage.back().began_at, CutNumber{50});
  const auto at = [](uint64_t of, uint64_t cut) {
    return Position{.epoch = Epoch{1}, .reign = reign(of), .cut = CutNumber{cut}};
  };
  EXPECT_TRUE(is_ancestor(at(2, 50), whole.lineage));
  const NodeState back = promote(state, reign(3), CutNumber{20});
  EXPECT_EQ(back.position.cut, CutNumber{50}) << "cuts go on counting";
  EXPECT_FALSE(is_ancestor(at(2, 50), back.lineage));
  EXPECT_FALSE(is_ancestor(at(1, 25), back.lineage)) << "before an earlier step, too";
  EXPECT_TRUE(is_ancestor(at(1, 20), back.lineage));
}

}  // namespace
}  // namespace repl::role
