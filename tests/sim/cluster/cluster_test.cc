// Two and three nodes of production code in seeded worlds (world.h).
//
//   out/dev/tests/sim_cluster                      some seconds, always the same seeds
//   REPL_SIM_SEEDS=2000 out/dev/tests/sim_cluster  a campaign: so many new worlds of each kind
//   REPL_SIM_SEED=4711 out/dev/tests/sim_cluster   one world again, of each kind
//   REPL_SIM_DRIFT=1                               people write to replicas, too (docs/TESTING.md)
//   REPL_SIM_LOG=1                                 every step and message on stderr
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>

#include "tests/sim/cluster/world.h"

namespace repl::sim {
namespace {

constexpr uint64_t steps_of_a_world = 600;
constexpr uint64_t worlds_everyday = 4;
constexpr uint64_t worlds_for_a_mutant = 40;

uint64_t number(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Kind {
  const char* name;
  WorldOptions options;
};

class Cluster : public testing::TestWithParam<Kind> {};

TEST_P(Cluster, HoldsInEveryWorld) {
  const bool one = std::getenv("REPL_SIM_SEED") != nullptr;
  const uint64_t first = number(
      "REPL_SIM_SEED", std::getenv("REPL_SIM_SEEDS") == nullptr ? 1 : std::random_device{}());
  const uint64_t worlds = one ? 1 : number("REPL_SIM_SEEDS", worlds_everyday);
  std::cout << "seeds from " << first << "\n";
  World::Counts all;
  for (uint64_t seed = first; seed < first + worlds; ++seed) {
    WorldOptions options = GetParam().options;
    options.drift = std::getenv("REPL_SIM_DRIFT") != nullptr;
    World world(seed, options);
    bool good = true;
    for (uint64_t i = 0; i < steps_of_a_world && good; ++i) good = world.step();
    good = good && world.heal();
    ASSERT_TRUE(good) << "REPL_SIM_SEED=" << seed << ": " << world.failure() << "\n"
                      << world.trace();
    all.writes += world.counts().writes;
    all.crashes += world.counts().crashes;
    all.switchovers += world.counts().switchovers;
    all.promotions += world.counts().promotions;
    all.catch_ups += world.counts().catch_ups;
    all.kept += world.counts().kept;
  }
  std::cout << all.writes << " writes, " << all.crashes << " crashes, " << all.switchovers
            << " switchovers, " << all.promotions << " promotions, " << all.catch_ups
            << " catch-ups, " << all.kept << " versions kept\n";
  EXPECT_TRUE(one || all.writes > 0) << "a simulator in which nothing happens proves nothing";
}

INSTANTIATE_TEST_SUITE_P(Seeded, Cluster,
                         testing::Values(Kind{"TwoNodes", {.nodes = 2, .promotions = false}},
                                         Kind{"TwoNodesAndPeople", {.nodes = 2}},
                                         Kind{"ThreeNodesAndPeople", {.nodes = 3}}),
                         [](const auto& of) { return of.param.name; });

// A build with a rule taken out is found.
struct Broken {
  const char* name;
  Mutant mutant;
};

class Mutants : public testing::TestWithParam<Broken> {};

TEST_P(Mutants, AreFound) {
  for (uint64_t seed = 1; seed <= worlds_for_a_mutant; ++seed) {
    const auto failure = [&](Mutant mutant) {
      World world(seed, {.nodes = 2, .mutant = mutant});
      bool good = true;
      for (uint64_t i = 0; i < steps_of_a_world && good; ++i) good = world.step();
      static_cast<void>(good && world.heal());
      return world.failure();
    };
    const std::string found = failure(GetParam().mutant);
    if (found.empty() || !failure(Mutant::none).empty()) continue;
    std::cout << "found in world " << seed << ": " << found << "\n";
    return;
  }
  FAIL() << "not found in " << worlds_for_a_mutant << " worlds";
}

INSTANTIATE_TEST_SUITE_P(Planted, Mutants,
                         testing::Values(Broken{"KeepsNothing", Mutant::keep_nothing},
                                         Broken{"PublishesWithoutSwap",
                                                Mutant::publish_without_swap},
                                         Broken{"DeafPrimary", Mutant::deaf_primary}),
                         [](const auto& of) { return of.param.name; });

TEST(ClusterSeeds, AreReplayed) {
  uint64_t digests[2];
  for (uint64_t& digest : digests) {
    World world(4711, {.nodes = 3});
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(world.step()) << world.failure() << world.trace();
    digest = world.digest();
  }
  EXPECT_EQ(digests[0], digests[1]);
}

}  // namespace
}  // namespace repl::sim
