// handover_world.h: two nodes with the production state machines of a switchover, and everything
// that may happen to them between any two actions, as a value: each Step of a World gives another.
//
// What was ever said may be heard at any time, any number of times, or never: that is every loss,
// delay, doubling and overtaking, also across connections. A node may stop between any two actions;
// what it had not stored is gone.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "engine/role/handover.h"

namespace repl::role {

// A rule taken out. The wrapper breaks it around the production code, as an engine that does not
// keep to the contract would, or as machines without the rule would behave.
enum class Mutant : uint8_t {
  none,
  grant_before_handed_is_durable,
  confirm_before_primary_is_durable,
  refused_before_cancelled_is_durable,
  declined_taken_for_refused,
  handed_without_drained,
  no_last_look,
  rolls_back_after_grant,
  forgets_cancelled,
  repeated_grant_is_new,
  aborts_nothing,
};

struct WorldNode {
  NodeState state;    // what it works with
  NodeState durable;  // what a restart finds
  HandingOver handing;
  TakingOver taking;
  std::vector<Action> todo;
  std::vector<Hook> hooks;
  bool up = true;
  bool guard_asked = false;
  bool cut_asked = false;
  bool drain_asked = false;
  bool follows = false;   // the other one, over this connection
  uint64_t written = 1;   // versions of the one file of the tree
  uint64_t recorded = 1;  // at state.position
  bool drifted = false;   // somebody wrote to the secondary
};

struct World {
  std::array<WorldNode, 2> nodes;
  std::array<std::vector<Handover>, 2> said;  // to each; in order of key
  bool reliable = false;  // instead: each is heard once, in order, and leaves `said`
  bool connected = true;
  uint64_t reigns = 1;
  uint64_t tokens = 0;
  uint64_t accepted = 1;  // the last version that a primary's writers wrote
  int crashes_left = 0;
  int writes_left = 0;
  int starts_left = 0;
  // A stop between two actions is a step of its own. Without it only one before a second Store of
  // the same call is: any other is the same as one before the call or after it, and what was said
  // in between is never heard.
  bool every_action = false;
  Mutant mutant = Mutant::none;
};

struct Step {
  std::string what;  // for the trace
  std::function<void(World&)> run;
};

[[nodiscard]] World first_world(int crashes, int writes, int starts, Mutant mutant = Mutant::none);
[[nodiscard]] std::vector<Step> steps(const World& world);
[[nodiscard]] std::string image(const Handover& message);
// Of everything but times and counters of names.
[[nodiscard]] std::string key_of(const World& world);
// Empty, or which invariant does not hold.
[[nodiscard]] std::string broken_invariant(const World& world);
// Both up and connected, nothing lost, nobody interferes: what is wrong with how it ends; empty if
// there is one primary, the other one follows it, and no switchover is under way.
[[nodiscard]] std::string ends_badly(World world);

}  // namespace repl::role
