// The successor's side, row by row. Every order of everything is in handover_walk_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/limits.h"
#include "tests/unit/role/handover_sides.h"

namespace repl::role {
namespace {

using testing::HasSubstr;

// S, with its state stored as it asks.
struct Successor {
  NodeState state = secondary_state();
  TakerFacts facts = good_facts();
  TakingOver machine;

  Actions keep(Actions actions) {
    if (const Store* store = find<Store>(actions)) state = store->state;
    return actions;
  }
  Actions hear(HandoverKind kind, Epoch epoch, CutNumber cut = {}, Bits128 of = token) {
    return keep(machine.on_message(
        state, p_name,
        Handover{.kind = kind, .token = of, .reign = reign(1), .epoch = epoch, .cut = cut}, facts,
        reign(2)));
  }
  Actions prepare() { return hear(HandoverKind::prepare, Epoch{1}); }
  Actions grant() { return hear(HandoverKind::grant, Epoch{2}, CutNumber{5}); }
};

TEST(TakingOver, ReadyIsDurableBeforeItIsSaid) {
  Successor s;
  const Actions actions = s.prepare();
  EXPECT_TRUE((in_order<Store, Say>(actions)));
  EXPECT_EQ(said(actions).kind, HandoverKind::ready);
  EXPECT_EQ(s.state.handover.stage, HandoverStage::prepared);
  EXPECT_EQ(said(s.prepare()).kind, HandoverKind::ready) << "again";
  EXPECT_EQ(said(s.machine.on_hello(s.state, p_name, t0)).kind, HandoverKind::ready);
  EXPECT_TRUE(s.machine.on_hello(s.state, "mgmt3", t0).empty());
  static_cast<void>(s.hear(HandoverKind::abort, Epoch{1}, {}, Bits128{.high = 1, .low = 1}));
  EXPECT_EQ(s.state.handover.stage, HandoverStage::prepared) << "of another switchover";
  static_cast<void>(s.hear(HandoverKind::abort, Epoch{1}));
  EXPECT_EQ(s.state.handover, HandoverState{});
}

TEST(TakingOver, DeclinesWhatItCannotPromise) {
  const std::pair<void (*)(Successor&), const char*> lacks[] = {
      {[](Successor& s) { s.facts.held_keys = 2; }, "held"},
      {[](Successor& s) { s.facts.synced = false; }, "in sync"},
      {[](Successor& s) { s.facts.incomplete = true; }, "in sync"},
      {[](Successor& s) { s.facts.primary = "mgmt3"; }, "does not follow"},
      {[](Successor& s) { s.facts.following = reign(5); }, "does not follow"},
      {[](Successor& s) { s.state.epoch_seen = Epoch{2}; }, "newer epoch"},
      {[](Successor& s) { s.state.role = Role::primary; }, "not a secondary"},
      {[](Successor& s) { s.state.handover = {.stage = HandoverStage::handed, .peer = {}}; },
       "not a secondary"},
      {[](Successor& s) {
         s.state.handover = {.stage = HandoverStage::cancelled, .peer = {}, .epoch = Epoch{2}};
       },
       "refused a grant"},
  };
  for (const auto& [change, text] : lacks) {
    Successor s;
    change(s);
    const Actions actions = s.prepare();
    EXPECT_EQ(said(actions).kind, HandoverKind::declined) << text;
    EXPECT_THAT(said(actions).reason, HasSubstr(text));
    EXPECT_FALSE(find<Store>(actions)) << text;
  }
}

TEST(TakingOver, DrainedWaitsUntilItIsDurable) {
  Successor s;
  EXPECT_EQ(said(s.hear(HandoverKind::drain, Epoch{1}, CutNumber{6})).kind, HandoverKind::declined);
  static_cast<void>(s.prepare());
  EXPECT_TRUE(s.hear(HandoverKind::drain, Epoch{1}, CutNumber{6}).empty());
  EXPECT_TRUE(s.machine.on_durable(s.state, s.facts).empty());
  s.facts.durable.cut = CutNumber{6};
  const Actions actions = s.machine.on_durable(s.state, s.facts);
  EXPECT_EQ(said(actions).kind, HandoverKind::drained);
  EXPECT_EQ(said(actions).cut, CutNumber{6});
  EXPECT_EQ(said(actions).content, print(3));
  EXPECT_TRUE(s.machine.on_durable(s.state, s.facts).empty()) << "once for each time it is asked";
  s.facts.durable.reign = reign(8);
  EXPECT_TRUE(s.hear(HandoverKind::drain, Epoch{1}, CutNumber{6}).empty()) << "another reign's 6";
}

TEST(TakingOver, AGrantMakesItThePrimaryDurablyAndOnce) {
  Successor s;
  static_cast<void>(s.prepare());
  const Actions actions = s.grant();
  EXPECT_TRUE((in_order<Store, Say>(actions)));
  EXPECT_TRUE((in_order<BecomePrimary, RunHook>(actions)));
  EXPECT_EQ(find<SetGuard>(actions)->guard, Guard::open);
  EXPECT_EQ(said(actions).kind, HandoverKind::confirm);
  EXPECT_EQ(said(actions).reign, reign(2));
  EXPECT_EQ(s.state.role, Role::primary);
  EXPECT_EQ(s.state.position,
            (Position{.epoch = Epoch{2}, .reign = reign(2), .cut = CutNumber{5}}));
  EXPECT_TRUE(s.state.handover.hook_due);
  // Again, also after a crash and after it handed the tree on.
  s.state = begin_run(s.state, reign(4));
  EXPECT_EQ(said(s.grant()).reign, reign(2));
  s.state = give_way(s.state, {.reign = reign(5), .epoch = Epoch{3}, .began_at = CutNumber{8}});
  const Actions again = s.grant();
  EXPECT_EQ(said(again).kind, HandoverKind::confirm);
  EXPECT_EQ(said(again).reign, reign(2));
  EXPECT_FALSE(find<Store>(again));
}

TEST(TakingOver, AGrantThatDoesNotFitIsCancelledDurably) {
  const std::pair<void (*)(Successor&), const char*> lacks[] = {
      {[](Successor& s) { s.state.handover = HandoverState{}; }, "not prepared"},
      {[](Successor& s) { s.state.handover.peer = "mgmt3"; }, "not prepared"},
      {[](Successor& s) { s.facts.held_keys = 1; }, "held"},
      {[](Successor& s) { s.facts.durable.cut = CutNumber{4}; }, "last cut"},
      {[](Successor& s) { s.facts.durable.cut = CutNumber{6}; }, "last cut"},
      {[](Successor& s) { s.facts.durable.reign = reign(8); }, "last cut"},
      {[](Successor& s) { s.facts.incomplete = true; }, "in sync"},
  };
  for (const auto& [change, text] : lacks) {
    Successor s;
    static_cast<void>(s.prepare());
    change(s);
    const Actions actions = s.grant();
    EXPECT_TRUE((in_order<Store, Say>(actions))) << text;
    EXPECT_EQ(s.state.handover.stage, HandoverStage::cancelled) << text;
    EXPECT_EQ(said(actions).kind, HandoverKind::refused);
    EXPECT_EQ(said(actions).epoch, Epoch{1}) << "what it has seen, not what it was offered";
    EXPECT_THAT(said(actions).reason, HasSubstr(text));
    EXPECT_EQ(s.state.role, Role::secondary);
    s.facts = good_facts();
    EXPECT_EQ(said(s.prepare()).kind, HandoverKind::declined) << "the token is dead";
    EXPECT_EQ(said(s.grant()).kind, HandoverKind::refused);
  }
}

TEST(TakingOver, ATreeThatDiffersIsNotTakenOver) {
  Successor s;
  static_cast<void>(s.prepare());
  Handover grant{.kind = HandoverKind::grant,
                 .token = token,
                 .reign = reign(1),
                 .epoch = Epoch{2},
                 .cut = CutNumber{5},
                 .content = print(3),
                 .identity = print(44)};
  EXPECT_THAT(said(s.machine.on_message(s.state, p_name, grant, s.facts, reign(2))).reason,
              HasSubstr("repl verify"));
  grant.identity = {};
  EXPECT_EQ(said(s.machine.on_message(s.state, p_name, grant, s.facts, reign(2))).kind,
            HandoverKind::confirm)
      << "what is not known is not compared";
}

TEST(TakingOver, ANewerEpochEndsIt) {
  Successor s;
  static_cast<void>(s.prepare());
  s.state.epoch_seen = Epoch{2};
  const Actions actions = s.grant();
  EXPECT_EQ(said(actions).kind, HandoverKind::refused);
  EXPECT_EQ(said(actions).epoch, Epoch{2}) << "so that its sender does not come back";
  EXPECT_FALSE(find<Store>(actions)) << "no prepare of epoch 1 is accepted any more";
}

TEST(TakingOver, DoesNotRefuseWhatItMayHaveDone) {
  Successor s;
  s.facts.history_lost = true;
  EXPECT_EQ(said(s.grant()).kind, HandoverKind::unknown);
  s.facts.history_lost = false;
  s.state = found_tree(reign(6));
  EXPECT_EQ(said(s.grant()).kind, HandoverKind::unknown);
  // Promoted by hand while it was prepared, with all that the grant speaks of.
  s = Successor{};
  static_cast<void>(s.prepare());
  s.state = begin_reign(s.state, reign(3), Epoch{2});
  EXPECT_EQ(said(s.grant()).kind, HandoverKind::confirm);
  EXPECT_EQ(said(s.grant()).reign, reign(3));
}

TEST(TakingOver, AsksWhetherItIsStillMeant) {
  Successor s;
  EXPECT_FALSE(s.machine.deadline(s.state));
  static_cast<void>(s.prepare());
  ASSERT_TRUE(s.machine.deadline(s.state));
  EXPECT_EQ(said(s.machine.on_time(s.state, t0)).kind, HandoverKind::ready);
  EXPECT_TRUE(s.machine.on_time(s.state, t0).empty());
  EXPECT_EQ(*s.machine.deadline(s.state),
            t0 + std::chrono::milliseconds(limits::handover_retry_ms));
}

}  // namespace
}  // namespace repl::role
