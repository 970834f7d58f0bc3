// people.cc: what people command, at any moment and, to bring the nodes together again, as the
// manual says.
#include <algorithm>

#include "tests/sim/cluster/world.h"

namespace repl::sim {

void World::command(Node& node) {
  if (!node.engine || !node.facts_known) return;
  Node& other = *nodes_[(node.number + 1 + chance_.below(nodes_.size() - 1)) % nodes_.size()];
  const uint64_t what = chance_.below(12);
  if (what < 4 && node.facts.current) return switchover(node, other);
  if (what < 7 && node.facts.diverged) return catch_up(node);
  if (what < 9) return approve(node);
  if (!options_.promotions) return;
  if (what == 9 && !node.facts.current) return promote(node, chance_.one_in(2));
  if (what == 10 && chance_.one_in(3)) demote(node);
}

void World::promote(Node& node, bool force) {
  tell(fmt::format("{}: promote{}", node.name, force ? " --force" : ""));
  node.asking = true;
  node.engine->request_promote({.force = force}, [this, &node](Result<run::RoleChange> change) {
    node.asking = false;
    node.refused = change ? "" : change.error().message;
    if (change) ++counts_.promotions;
    tell(fmt::format("{}: promote {}", node.name, change ? "done" : "refused"));
  });
}

void World::demote(Node& node) {
  tell(node.name + ": demote");
  node.engine->request_demote(false, [this, &node](Result<run::RoleChange> change) {
    tell(fmt::format("{}: demote {}", node.name, change ? "done" : "refused"));
  });
}

void World::switchover(Node& node, Node& to) {
  if (node.switching) return;
  node.switching = true;
  tell(node.name + ": switchover to " + to.name);
  node.engine->request_switchover(
      {.to = to.name, .timeout_ms = 10'000}, [](std::string) {},
      [this, &node, to = to.name](Result<run::SwitchoverDone> done) {
        node.switching = false;
        tell(fmt::format("{}: switchover to {} {}", node.name, to,
                         done ? "done" : "did not happen"));
        if (!done) return;
        ++counts_.switchovers;
        check_handed_over(node.name, to);
      });
}

void World::catch_up(Node& node) {
  if (node.catching) return;
  node.catching = true;
  tell(node.name + ": catchup");
  node.engine->request_catch_up_plan("", [this, &node](Result<run::CatchUpPlan> plan) {
    if (!plan || plan->state == run::CatchUpPlan::State::following) {
      node.catching = false;
      return tell(node.name + ": no catchup" + (plan ? ", it follows" : ""));
    }
    tell(node.name + ": catchup from " + plan->from + ", agreed");
    node.engine->request_catch_up({.from = plan->from,
                                   .plan = plan->id,
                                   .progress = {},
                                   .answer = [this, &node](Result<run::Certificate> done) {
                                     node.catching = false;
                                     if (done) ++counts_.catch_ups;
                                     tell(node.name + ": catchup " + (done ? "done" : "failed"));
                                     if (!done)
                                       node.log->write(LogLevel::warn, done.error().message);
                                   }});
  });
}

void World::approve(Node& node) {
  node.engine->request_approve([this, &node](Result<uint64_t> released) {
    tell(
        fmt::format("{}: approve {}", node.name, released ? std::to_string(*released) : "nothing"));
  });
}

// Who is to go on as the primary: that is the people's choice, and always the same.
std::tuple<bool, uint64_t, uint64_t> World::rank(const Node& node) {
  return {node.facts.current, node.facts.position.epoch.value, node.facts.position.cut.value};
}

// Each hold names a command: given here, now and then, while the nodes come together.
void World::command_what_is_held() {
  const bool primary = std::ranges::any_of(
      nodes_, [](const auto& node) { return node->facts_known && node->facts.current; });
  for (auto& node : nodes_) {
    if (!node->engine || !node->facts_known) continue;
    if (node->facts.current || node->facts.role == Role::secondary) {
      if (node->facts.held_keys > 0) approve(*node);
    }
    const bool apart = std::ranges::any_of(node->facts.peers,
                                           [](const run::PeerFacts& peer) { return peer.held; });
    if (primary && node->facts.role != Role::primary && (node->facts.diverged || apart))
      catch_up(*node);
  }
  // Two that were promoted apart: one is chosen to give way.
  Node* chosen = nullptr;
  int primaries = 0;
  for (auto& node : nodes_) {
    if (!node->engine || !node->facts_known || node->facts.role != Role::primary) continue;
    ++primaries;
    if (chosen == nullptr || rank(*node) > rank(*chosen)) chosen = node.get();
  }
  for (auto& node : nodes_) {
    const bool serves = node->engine && node->facts_known && node->facts.role == Role::primary;
    if (serves && node.get() != chosen) demote(*node);
  }
  if (primary || primaries > 1) return;
  const auto furthest =
      std::ranges::max_element(nodes_, {}, [](const auto& node) { return rank(*node); });
  Node& node = **furthest;
  if (node.engine && node.facts_known && !node.asking) promote(node, !node.refused.empty());
}

bool World::heal() {
  constexpr int rounds_max = 40'000;
  constexpr int command_every = 400;
  calm_ = true;
  for (auto& node : nodes_) {
    node->disk.dies_at.reset();
    node->disk.fails_at.reset();
    node->refused.clear();
  }
  for (auto& [pair, joined] : wires_) joined.parted_until_ms = 0;
  tell("all is well from here on");
  bool waiting = false;
  std::optional<run::WaitResult> waited;
  for (int round = 0; round < rounds_max && failure_.empty(); ++round) {
    pass(3);
    for (size_t a = 0; a < nodes_.size(); ++a) {
      for (size_t b = a + 1; b < nodes_.size(); ++b) connect(a, b);
    }
    for (auto& node : nodes_) turn(*node);
    if (round % command_every == command_every - 1) command_what_is_held();
    // What people did to a replica is noticed soon, not before the answer.
    const bool late =
        waited == run::WaitResult::reached && options_.drift && !tree_difference().empty();
    if (late) {
      ++counts_.late;
    } else if (waited == run::WaitResult::reached && failure_.empty()) {
      check_end();
      return failure_.empty();
    }
    if (waiting && !waited) continue;
    waited.reset();
    waiting = false;
    std::vector<Node*> current;
    bool quiet = true;
    for (auto& node : nodes_) {
      quiet = quiet && node->engine && node->facts_known && !node->facts.diverged &&
              node->facts.held_keys == 0 && !node->catching && !node->switching;
      if (node->facts_known && node->facts.current) current.push_back(node.get());
    }
    if (!quiet || current.size() != 1) continue;
    for (const run::PeerFacts& peer : current[0]->facts.peers) quiet = quiet && peer.connected;
    if (!quiet) continue;
    waiting = true;
    current[0]->engine->request_wait(
        {.level = AckLevel::durable, .timeout_ms = 20'000, .wait_for_peers = true},
        [&waited](const run::WaitAnswer& answer) { waited = answer.result; });
  }
  if (failure_.empty()) fail_with("the nodes do not come together");
  return false;
}

}  // namespace repl::sim
