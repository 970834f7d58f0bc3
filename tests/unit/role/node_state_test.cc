#include "engine/role/node_state.h"

#include <gtest/gtest.h>

#include "engine/base/limits.h"

namespace repl::role {
namespace {

Reign reign(uint64_t n) { return Reign{{.high = n, .low = n}}; }

NodeState with_history() {
  NodeState state = found_tree(reign(1));
  state.position.cut = CutNumber{40};
  return state;
}

TEST(NodeState, SurvivesItsEncoding) {
  NodeState state = with_history();
  state.clean_stop = true;
  state.incomplete = true;
  state.id_counter = 77;
  state.epoch_seen = Epoch{9};
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
  record[0] = 2;
  EXPECT_FALSE(decode_node_state(record));
  record[0] = 1;
  record[1] = 3;
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

TEST(BeginRun, ASecondaryKeepsItsPosition) {
  NodeState state = follow(NodeState{}, with_history().lineage, with_history().position);
  EXPECT_EQ(begin_run(state, reign(5)).position, state.position);
}

TEST(Lineage, IsBounded) {
  NodeState state = with_history();
  for (uint64_t i = 2; i < limits::lineage_reigns_max + 50; ++i) state = begin_run(state, reign(i));
  EXPECT_EQ(state.lineage.size(), limits::lineage_reigns_max);
  EXPECT_FALSE(has_reign(state.lineage, reign(1)));
  EXPECT_TRUE(decode_node_state(encode(state)));
}

}  // namespace
}  // namespace repl::role
