#include "engine/run/tree_events.h"

#include <gtest/gtest.h>

#include <vector>

namespace repl::run {
namespace {

class TreeEventsTest : public testing::Test {
 protected:
  std::vector<TreeEvent> told_;
  EventSink sink_ = [this](const TreeEvent& event) { told_.push_back(event); };
  role::NodeState state_;
  TreeEvents events_{sink_, state_};
};

TEST_F(TreeEventsTest, AHoldIsToldOnceWhileItLasts) {
  for (int i = 0; i < 3; ++i) events_.held("drift", "", "paths");
  EXPECT_EQ(told_.size(), 1u);
  events_.held("root", "", "paths");
  events_.held("drift", "", "another reason");
  EXPECT_EQ(told_.size(), 3u);
  events_.not_held("drift");
  EXPECT_EQ(told_.size(), 3u);
  events_.held("drift", "b", "another reason");
  ASSERT_EQ(told_.size(), 4u);
  EXPECT_EQ(told_.back().kind, TreeEvent::Kind::held);
  EXPECT_EQ(told_.back().peer, "b");
  EXPECT_EQ(told_.back().reason, "another reason");
}

TEST_F(TreeEventsTest, APeerIsToldOnceInSyncUntilItIsNot) {
  state_.role = Role::primary;
  state_.position.epoch = Epoch{3};
  for (int i = 0; i < 3; ++i) events_.synced("b");
  events_.synced("c");
  EXPECT_EQ(told_.size(), 2u);
  events_.not_synced("b");
  events_.synced("b");
  events_.synced("c");
  ASSERT_EQ(told_.size(), 3u);
  EXPECT_EQ(told_.back().kind, TreeEvent::Kind::synced);
  EXPECT_EQ(told_.back().peer, "b");
  EXPECT_EQ(told_.back().epoch, Epoch{3});
  EXPECT_EQ(told_.back().role, Role::primary);
}

TEST_F(TreeEventsTest, NobodyNeedsToListen) {
  const EventSink none;
  TreeEvents events(none, state_);
  EXPECT_FALSE(events.wanted());
  events.held("drift", "", "paths");
  events.tell(TreeEvent::Kind::promoted, "", "");
}

}  // namespace
}  // namespace repl::run
