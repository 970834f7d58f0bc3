// Every state that two nodes can reach in a switchover, with every message lost, doubled, delayed
// and overtaken and either node stopped between any two actions: the invariants of
// engine/role/handover.h hold in each, and each ends with one primary if it is let.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <string_view>
#include <unordered_map>

#include "engine/model/hash.h"
#include "tests/unit/role/handover_world.h"

namespace repl::role {
namespace {

struct Found {
  size_t states = 0;
  bool complete = false;  // every reachable state was seen
  std::string broken;     // empty: nothing
  std::vector<std::string> trace;
};

// Breadth first, so that what is found is found by a shortest way. Only the frontier is kept whole;
// of a state that was seen its key's hash, and the step that led to it.
class Walk {
 public:
  // `end_one_in`: of so many states one is let run to its end.
  Walk(World first, size_t states_max, uint64_t end_one_in)
      : states_max_(states_max), end_one_in_(end_one_in) {
    reach(std::move(first), 0, {});
  }

  Found run() {
    while (!frontier_.empty() && found_.broken.empty() && seen_.size() < states_max_) {
      const auto [index, world] = std::move(frontier_.front());
      frontier_.pop_front();
      for (const Step& step : steps(world)) {
        World next = world;
        step.run(next);
        reach(std::move(next), index, step.what);
        if (!found_.broken.empty()) break;
      }
    }
    found_.states = seen_.size();
    found_.complete = frontier_.empty();
    return std::move(found_);
  }

 private:
  void reach(World world, size_t from, const std::string& what) {
    const Digest hash = hash_bytes(key_of(world));
    if (!seen_.emplace(hash, 0).second) return;
    ways_.push_back({from, what});
    const size_t index = ways_.size() - 1;
    std::string broken = broken_invariant(world);
    if (broken.empty() && hash.low % end_one_in_ == 0) {
      broken = ends_badly(world);
      if (!broken.empty()) broken = "left alone: " + broken;
    }
    if (!broken.empty() && found_.broken.empty()) {
      found_.broken = broken;
      for (size_t at = index; at != 0; at = ways_[at].first)
        found_.trace.insert(found_.trace.begin(), ways_[at].second);
    }
    frontier_.emplace_back(index, std::move(world));
  }

  size_t states_max_;
  uint64_t end_one_in_;
  std::unordered_map<Digest, char> seen_;
  std::vector<std::pair<size_t, std::string>> ways_;
  std::deque<std::pair<size_t, World>> frontier_;
  Found found_;
};

std::string told(const Found& found) {
  std::string out = found.broken;
  for (const std::string& step : found.trace) out += "\n  " + step;
  return out;
}

struct Bounds {
  int crashes;
  int writes;
  int starts;
};

bool whole_walk() {
  const char* text = std::getenv("REPL_WALK");
  return text != nullptr && std::string_view(text) == "whole";
}

constexpr size_t states_max = 50'000;  // in the everyday run; REPL_WALK=whole sees all of them

class HandoverWalk : public testing::TestWithParam<Bounds> {};

TEST_P(HandoverWalk, EveryReachableStateIsSafeAndEndsWell) {
  const Bounds bounds = GetParam();
  const auto began = std::chrono::steady_clock::now();
  World first = first_world(bounds.crashes, bounds.writes, bounds.starts);
  first.every_action = whole_walk() && bounds.crashes == 1;
  const Found found = Walk(std::move(first), whole_walk() ? SIZE_MAX : states_max, 4).run();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::cout << found.states << " states" << (found.complete ? ", all of them" : "") << ", in "
            << took.count() << " s\n";
  EXPECT_EQ(found.broken, "") << told(found);
}

INSTANTIATE_TEST_SUITE_P(Bounded, HandoverWalk,
                         testing::Values(Bounds{0, 0, 1}, Bounds{1, 0, 1}, Bounds{0, 1, 1},
                                         Bounds{2, 1, 1}, Bounds{1, 1, 2}),
                         [](const auto& of) {
                           return std::to_string(of.param.crashes) + "crashes" +
                                  std::to_string(of.param.writes) + "writes" +
                                  std::to_string(of.param.starts) + "starts";
                         });

struct Broken {
  Mutant mutant;
  const char* name;
  const char* found;  // what the walk must say
};

class HandoverMutant : public testing::TestWithParam<Broken> {};

// The walk can fail: each rule that is taken out is found.
TEST_P(HandoverMutant, IsFound) {
  const Found found = Walk(first_world(1, 1, 1, GetParam().mutant), 400'000, 4).run();
  EXPECT_TRUE(found.broken.ends_with(GetParam().found))
      << found.states << " states " << told(found);
  std::cout << "in " << found.states << " states\n";
}

INSTANTIATE_TEST_SUITE_P(
    Each, HandoverMutant,
    testing::Values(
        Broken{Mutant::grant_before_handed_is_durable, "GrantBeforeHanded", "two primaries"},
        Broken{Mutant::confirm_before_primary_is_durable, "ConfirmBeforePrimary",
               "nobody is the primary"},
        Broken{Mutant::refused_before_cancelled_is_durable, "RefusedBeforeCancelled",
               "two primaries"},
        Broken{Mutant::declined_taken_for_refused, "DeclinedForRefused", "two primaries"},
        Broken{Mutant::handed_without_drained, "HandedWithoutDrained",
               "handed, and the successor lacks the final cut"},
        Broken{Mutant::no_last_look, "NoLastLook", "the primary lacks what a primary accepted"},
        Broken{Mutant::rolls_back_after_grant, "RollsBackAfterGrant", "two primaries"},
        Broken{Mutant::forgets_cancelled, "ForgetsCancelled", "two primaries"},
        Broken{Mutant::repeated_grant_is_new, "RepeatedGrantIsNew", "two primaries"},
        Broken{Mutant::aborts_nothing, "AbortsNothing", "the secondary is not done"}),
    [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace repl::role
