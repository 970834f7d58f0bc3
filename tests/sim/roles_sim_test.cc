// Two and three nodes with the production code of engine/role, in a seeded world: any message lost,
// doubled, late; any node stopped at any moment; people who switch over and promote.
//
//   out/dev/tests/sim_roles                       some seconds, another seed each time
//   REPL_SIM_STEPS=100000000 out/dev/tests/sim_roles
//   REPL_SIM_SEED=4711 out/dev/tests/sim_roles    one world again
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>

#include "tests/sim/roles_cluster.h"

namespace repl::sim {
namespace {

constexpr uint64_t steps_of_a_world = 3'000;
constexpr uint64_t steps_everyday = 3'000'000;

uint64_t number(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Kind {
  const char* name;
  Options options;
};

class Roles : public testing::TestWithParam<Kind> {};

TEST_P(Roles, HoldInEveryWorld) {
  const bool one = std::getenv("REPL_SIM_SEED") != nullptr;
  const uint64_t first = number("REPL_SIM_SEED", std::random_device{}());
  const uint64_t steps = one ? steps_of_a_world : number("REPL_SIM_STEPS", steps_everyday);
  std::cout << "seeds from " << first << "\n";
  uint64_t switchovers = 0;
  for (uint64_t done = 0, seed = first; done < steps; done += steps_of_a_world, ++seed) {
    Cluster cluster(seed, GetParam().options);
    bool good = true;
    for (uint64_t i = 0; i < steps_of_a_world && good; ++i) good = cluster.step();
    good = good && cluster.heal();
    ASSERT_TRUE(good) << "REPL_SIM_SEED=" << seed << ": " << cluster.failure() << "\n"
                      << cluster.trace();
    switchovers += cluster.switchovers();
  }
  std::cout << switchovers << " switchovers were seen to their end\n";
  EXPECT_TRUE(one || switchovers > 0) << "a simulator in which nothing happens proves nothing";
}

INSTANTIATE_TEST_SUITE_P(
    Seeded, Roles,
    testing::Values(Kind{"TwoNodes", {.nodes = 2}}, Kind{"ThreeNodes", {.nodes = 3}},
                    Kind{"TwoNodesAndPeople", {.nodes = 2, .promotions = true}},
                    Kind{"ThreeNodesAndPeople", {.nodes = 3, .promotions = true}}),
    [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace repl::sim
