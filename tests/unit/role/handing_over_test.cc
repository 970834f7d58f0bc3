// The old primary's side, row by row: what it does at each message, and what it refuses. Every
// order of everything is in handover_walk_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/limits.h"
#include "tests/unit/role/handover_sides.h"

namespace repl::role {
namespace {

using testing::HasSubstr;
using Phase = HandingOver::Phase;

// P, with its state stored as it asks.
struct Primary {
  NodeState state = primary_state();
  HandingOver machine;

  Actions keep(Actions actions) {
    if (const Store* store = find<Store>(actions)) state = store->state;
    return actions;
  }
  Actions start(const Readiness& readiness = ready_peer()) {
    return keep(machine.start(state, {.peer = s_name, .token = token, .wait_max = wait_max},
                              readiness, t0));
  }
  Actions hear(HandoverKind kind, CutNumber cut = {}, Epoch epoch = {}, Reign of = reign(1)) {
    return keep(machine.on_message(state, s_name,
                                   Handover{.kind = kind,
                                            .token = token,
                                            .reign = of,
                                            .epoch = epoch,
                                            .cut = cut,
                                            .reason = "because"},
                                   reign(7)));
  }
  void to_stopping() {
    static_cast<void>(start());
    static_cast<void>(hear(HandoverKind::ready));
  }
  void to_cutting() {
    to_stopping();
    static_cast<void>(keep(machine.on_hook(state, Hook::on_demote, {})));
    static_cast<void>(keep(machine.on_guard(state, {}, t0)));
  }
  Actions cut() {
    ++state.position.cut.value;
    return keep(machine.on_final_cut(state, state.position.cut, print(3), print(4), t0));
  }
  void to_handed() {
    to_cutting();
    static_cast<void>(cut());
    static_cast<void>(hear(HandoverKind::drained, state.position.cut));
    static_cast<void>(keep(machine.on_drained(state, false, t0)));
  }
  Actions to_granting() {
    to_handed();
    return keep(machine.on_drained(state, false, t0));
  }
};

bool is_primary_again(const Primary& p) {
  return p.state.role == Role::primary && p.state.handover.stage == HandoverStage::none &&
         p.machine.memory().phase == Phase::idle;
}

TEST(HandingOver, RefusesWhatCannotEndWell) {
  const std::pair<void (*)(Readiness&), const char*> lacks[] = {
      {[](Readiness& r) { r.connected = false; }, "not connected"},
      {[](Readiness& r) { r.features = 0; }, "older repl"},
      {[](Readiness& r) { r.same_policy = false; }, "same config file"},
      {[](Readiness& r) { r.synced = false; }, "repl wait"},
      {[](Readiness& r) { r.exact = false; }, "repl wait"},
      {[](Readiness& r) { r.held_keys = 3; }, "repl approve"},
      {[](Readiness& r) { r.lag = std::chrono::milliseconds(limits::handover_lag_ms_max + 1); },
       "repl wait"},
  };
  for (const auto& [change, text] : lacks) {
    Primary p;
    Readiness readiness = ready_peer();
    change(readiness);
    const Actions actions = p.start(readiness);
    ASSERT_EQ(actions.size(), 1U);
    EXPECT_EQ(find<Report>(actions)->progress, Progress::failed);
    EXPECT_THAT(find<Report>(actions)->text, HasSubstr(text));
    EXPECT_EQ(p.machine.memory().phase, Phase::idle);
  }
  Primary s;
  s.state = secondary_state();
  EXPECT_THAT(find<Report>(s.start())->text, HasSubstr("repl switchover --to mgmt2"));
  Primary twice;
  static_cast<void>(twice.start());
  EXPECT_THAT(find<Report>(twice.start())->text, HasSubstr("under way"));
  Primary handed;
  static_cast<void>(handed.to_granting());
  EXPECT_THAT(find<Report>(handed.start())->text, HasSubstr("already"));
}

TEST(HandingOver, GoesThroughEveryRow) {
  Primary p;
  Actions actions = p.start();
  EXPECT_EQ(said(actions).kind, HandoverKind::prepare);
  EXPECT_EQ(said(actions).epoch, Epoch{1});
  EXPECT_EQ(said(actions).reign, reign(1));
  actions = p.hear(HandoverKind::ready);
  EXPECT_EQ(p.state.handover.stage, HandoverStage::draining);
  EXPECT_EQ(p.state.role, Role::primary);
  EXPECT_TRUE((in_order<Store, RunHook>(actions)));
  actions = p.keep(p.machine.on_hook(p.state, Hook::on_demote, {}));
  EXPECT_EQ(find<SetGuard>(actions)->guard, Guard::closed);
  EXPECT_FALSE(p.machine.guard_closed());
  EXPECT_TRUE(find<MakeFinalCut>(p.machine.on_guard(p.state, {}, t0)));
  EXPECT_TRUE(p.machine.guard_closed());
  actions = p.cut();
  EXPECT_EQ(said(actions).kind, HandoverKind::drain);
  EXPECT_EQ(said(actions).cut, CutNumber{6});
  EXPECT_TRUE(find<DrainAgain>(p.hear(HandoverKind::drained, CutNumber{6})));
  EXPECT_EQ(p.state.role, Role::primary);
  actions = p.keep(p.machine.on_drained(p.state, false, t0));
  EXPECT_TRUE((in_order<Store, DrainAgain>(actions)));
  EXPECT_TRUE(waits_for_answer(p.state));
  EXPECT_EQ(p.state.role, Role::secondary);
  EXPECT_TRUE(p.machine.guard_closed());
  EXPECT_EQ(said(actions).reason, "nothing") << "no grant before the last look";
  actions = p.keep(p.machine.on_drained(p.state, false, t0));
  EXPECT_TRUE((in_order<StepDown, Say>(actions)));
  EXPECT_EQ(said(actions).kind, HandoverKind::grant);
  EXPECT_EQ(said(actions).epoch, Epoch{2});
  EXPECT_EQ(said(actions).cut, CutNumber{6});
  EXPECT_EQ(said(actions).content, print(3));
  actions = p.hear(HandoverKind::confirm, CutNumber{6}, Epoch{2}, reign(2));
  EXPECT_EQ(p.state.lineage.back(),
            (LineageStep{.reign = reign(2), .epoch = Epoch{2}, .began_at = CutNumber{6}}));
  EXPECT_EQ(p.state.epoch_seen, Epoch{2});
  EXPECT_EQ(p.state.handover, HandoverState{});
  EXPECT_TRUE((in_order<Store, FollowAgain>(actions)));
  EXPECT_EQ(find<Report>(actions)->progress, Progress::done);
  EXPECT_TRUE(p.hear(HandoverKind::confirm, CutNumber{6}, Epoch{2}, reign(2)).empty());
}

TEST(HandingOver, WhatIsWrittenMeanwhileIsSentFirst) {
  Primary p;
  p.to_cutting();
  static_cast<void>(p.cut());
  static_cast<void>(p.hear(HandoverKind::drained, CutNumber{6}));
  EXPECT_TRUE(find<MakeFinalCut>(p.machine.on_drained(p.state, true, t0)));
  static_cast<void>(p.cut());
  EXPECT_TRUE(p.hear(HandoverKind::drained, CutNumber{6}).empty()) << "of the cut before";
  static_cast<void>(p.hear(HandoverKind::drained, CutNumber{7}));
  ++p.state.position.cut.value;  // a cut was made between
  EXPECT_TRUE(find<MakeFinalCut>(p.machine.on_drained(p.state, false, t0)));
  static_cast<void>(p.cut());
  static_cast<void>(p.hear(HandoverKind::drained, CutNumber{9}));
  static_cast<void>(p.keep(p.machine.on_drained(p.state, false, t0)));
  ASSERT_TRUE(waits_for_answer(p.state));
  const Actions back = p.keep(p.machine.on_drained(p.state, true, t0));
  EXPECT_TRUE((in_order<Store, MakeFinalCut>(back)));
  EXPECT_EQ(p.state.role, Role::primary);
  EXPECT_EQ(p.state.handover.stage, HandoverStage::draining);
}

TEST(HandingOver, GivesUpAndServesAgain) {
  const std::pair<Actions (*)(Primary&), const char*> ends[] = {
      {[](Primary& p) {
         p.to_stopping();
         return p.keep(
             p.machine.on_hook(p.state, Hook::on_demote, fail(ErrorCode::internal, "exit 1")));
       },
       "exit 1"},
      {[](Primary& p) {
         p.to_stopping();
         static_cast<void>(p.machine.on_hook(p.state, Hook::on_demote, {}));
         return p.keep(p.machine.on_guard(p.state, fail(ErrorCode::io, "pid 7 has f open"), t0));
       },
       "pid 7"},
      {[](Primary& p) {
         p.to_cutting();
         return p.keep(p.machine.on_time(p.state, t0 + wait_max));
       },
       "in time"},
      {[](Primary& p) {
         p.to_cutting();
         static_cast<void>(p.cut());
         return p.hear(HandoverKind::declined);
       },
       "because"},
      {[](Primary& p) {
         p.to_cutting();
         static_cast<void>(p.cut());
         Handover drained{.kind = HandoverKind::drained,
                          .token = token,
                          .reign = reign(1),
                          .cut = CutNumber{6},
                          .content = print(99)};
         return p.keep(p.machine.on_message(p.state, s_name, drained, reign(7)));
       },
       "repl verify"},
      {[](Primary& p) {
         p.to_cutting();
         p.machine = HandingOver{};
         return p.keep(p.machine.restarted(p.state, t0));
       },
       "restarted"},
  };
  for (const auto& [end, text] : ends) {
    Primary p;
    const Actions actions = end(p);
    EXPECT_TRUE(is_primary_again(p)) << text;
    EXPECT_EQ(p.state.position.epoch, Epoch{1}) << text;
    EXPECT_EQ(said(actions).kind, HandoverKind::abort) << text;
    ASSERT_TRUE(find<SetGuard>(actions) && find<RunHook>(actions)) << text;
    EXPECT_EQ(find<SetGuard>(actions)->guard, Guard::open);
    EXPECT_FALSE(p.machine.guard_closed()) << text;
    EXPECT_EQ(find<RunHook>(actions)->hook, Hook::on_promote);
    EXPECT_THAT(find<Report>(actions)->text, HasSubstr(text));
    EXPECT_THAT(find<Report>(actions)->text, HasSubstr("repl switchover --to mgmt2"));
    EXPECT_TRUE(p.state.handover.hook_due);
    EXPECT_EQ(serve(p.state).size(), 2U) << "also after a restart";
    static_cast<void>(p.keep(p.machine.on_hook(p.state, Hook::on_promote, {})));
    EXPECT_EQ(p.state.handover, HandoverState{});
  }
}

TEST(HandingOver, BeforeAnythingWasStoppedNothingIsStarted) {
  Primary p;
  static_cast<void>(p.start());
  const Actions actions = p.hear(HandoverKind::declined);
  EXPECT_TRUE(is_primary_again(p));
  EXPECT_FALSE(find<Store>(actions) || find<RunHook>(actions) || find<SetGuard>(actions));
  EXPECT_THAT(find<Report>(actions)->text, HasSubstr("because"));
}

TEST(HandingOver, OnlyRefusedBringsTheGrantBack) {
  Primary p;
  static_cast<void>(p.to_granting());
  for (const HandoverKind kind :
       {HandoverKind::ready, HandoverKind::declined, HandoverKind::drained})
    EXPECT_TRUE(p.hear(kind, CutNumber{6}).empty());
  EXPECT_TRUE(p.hear(HandoverKind::confirm, CutNumber{5}, Epoch{2}, reign(2)).empty())
      << "it would lack the final cut";
  EXPECT_TRUE(p.hear(HandoverKind::confirm, CutNumber{6}, Epoch{1}, reign(2)).empty());
  EXPECT_EQ(find<Report>(p.hear(HandoverKind::unknown))->progress, Progress::blocked);
  EXPECT_TRUE(p.machine.on_time(p.state, t0).empty());
  EXPECT_EQ(said(p.machine.on_time(p.state, t0 + std::chrono::hours(9))).kind, HandoverKind::grant);
  ASSERT_TRUE(waits_for_answer(p.state));
  const Actions actions = p.hear(HandoverKind::refused, {}, Epoch{1});
  EXPECT_TRUE(is_primary_again(p));
  EXPECT_EQ(p.state.position,
            (Position{.epoch = Epoch{3}, .reign = reign(7), .cut = CutNumber{6}}));
  EXPECT_EQ(p.state.lineage.back().began_at, CutNumber{6});
  EXPECT_TRUE((in_order<Store, BecomePrimary>(actions)));
  EXPECT_EQ(find<SetGuard>(actions)->guard, Guard::open);
}

TEST(HandingOver, DoesNotComeBackBesideAnother) {
  Primary p;
  static_cast<void>(p.to_granting());
  const Actions actions = p.hear(HandoverKind::refused, {}, Epoch{2});
  EXPECT_EQ(p.state.role, Role::secondary);
  EXPECT_EQ(p.state.handover, HandoverState{});
  EXPECT_EQ(p.state.epoch_seen, Epoch{2});
  EXPECT_TRUE(find<FollowAgain>(actions));
}

TEST(HandingOver, ARestartGrantsAgain) {
  Primary p;
  static_cast<void>(p.to_granting());
  p.machine = HandingOver{};
  EXPECT_TRUE(p.machine.restarted(p.state, t0).empty());
  Hello hello;
  hello.node = s_name;
  hello.lineage = p.state.lineage;
  const Actions actions = p.machine.on_hello(p.state, hello, t0);
  EXPECT_EQ(said(actions).kind, HandoverKind::grant);
  EXPECT_EQ(said(actions).token, token);
  EXPECT_EQ(said(actions).cut, CutNumber{6});
  EXPECT_EQ(said(actions).epoch, Epoch{2});
}

TEST(HandingOver, AnybodysLineageAnswers) {
  Primary p;
  static_cast<void>(p.to_granting());
  Hello hello;
  hello.node = "mgmt3";
  hello.lineage = p.state.lineage;
  hello.lineage.push_back({.reign = reign(2), .epoch = Epoch{2}, .began_at = CutNumber{5}});
  EXPECT_TRUE(p.machine.on_hello(p.state, hello, t0).empty()) << "it lacks the final cut";
  hello.lineage.back().began_at = CutNumber{6};
  hello.lineage.push_back({.reign = reign(3), .epoch = Epoch{3}, .began_at = CutNumber{9}});
  static_cast<void>(p.keep(p.machine.on_hello(p.state, hello, t0)));
  EXPECT_EQ(p.state.lineage.back().reign, reign(2));
  EXPECT_FALSE(waits_for_answer(p.state));
}

TEST(HandingOver, WhoIsNotKnownIsToldSo) {
  Primary p;
  EXPECT_EQ(said(p.hear(HandoverKind::ready)).kind, HandoverKind::abort);
  static_cast<void>(p.to_granting());
  const Handover stray{.kind = HandoverKind::refused, .token = token, .reign = reign(1)};
  EXPECT_TRUE(p.machine.on_message(p.state, "mgmt3", stray, reign(7)).empty());
}

TEST(HandingOver, ByForceTheSuccessorsEpochIsPassedOver) {
  Primary p;
  EXPECT_TRUE(p.machine.take_back_by_force(p.state, reign(7)).empty());
  static_cast<void>(p.to_granting());
  static_cast<void>(p.keep(p.machine.take_back_by_force(p.state, reign(7))));
  EXPECT_TRUE(is_primary_again(p));
  EXPECT_EQ(p.state.position.epoch, Epoch{3});
}

TEST(HandingOver, AnotherWasPromoted) {
  Primary p;
  p.to_cutting();
  EXPECT_EQ(find<Report>(p.machine.fenced())->progress, Progress::failed);
  EXPECT_EQ(p.machine.memory().phase, Phase::idle);
  EXPECT_TRUE(p.machine.fenced().empty());
}

}  // namespace
}  // namespace repl::role
