// world.h: two or three nodes of production code (run::TreeEngine and all below it) in one thread,
// over simulated connections, a simulated clock and disks that end at any call; with writers on
// whatever node says that it is the primary, and people who command. All of it follows from a seed.
//
//   step()  one event of the world, and the invariants
//   heal()  no more faults; the documented commands, until every tree is equal and `wait` says so
//
// Invariants: checks.cc. Thread: one.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/run/tree_engine.h"
#include "tests/sim/cluster/disk.h"
#include "tests/sim/cluster/network.h"
#include "tests/sim/cluster/versions.h"

namespace repl::sim {

// What a build does whose rule was taken out: those of the disk, and those that show in messages.
enum class Mutant : uint8_t {
  none,
  publish_without_swap,  // what stands there is not looked at
  keep_nothing,          // a catch-up without a diverged store
  deaf_primary,          // hears of no newer epoch: goes on although superseded
};

struct WorldOptions {
  int nodes = 2;
  bool promotions = true;  // people promote, also under a partition, and demote
  bool drift = false;      // somebody writes to secondaries
  bool disk_errors = true;
  Mutant mutant = Mutant::none;
};

class SimClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime now() const override {
    return MonotonicTime(std::chrono::milliseconds(1'000'000 + ms));
  }
  [[nodiscard]] int64_t wall_ns() const override { return surroundings().wall_ns; }
  int64_t ms = 0;
};

class World {
 public:
  World(uint64_t seed, WorldOptions options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // False: failure() says what was broken.
  [[nodiscard]] bool step();
  [[nodiscard]] bool heal();
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] std::string trace() const;  // the last steps
  [[nodiscard]] uint64_t digest() const;    // of all that happened

  struct Counts {
    uint64_t writes = 0, crashes = 0, switchovers = 0, promotions = 0, catch_ups = 0, kept = 0,
             late = 0;  // `wait` was answered, and what people did to a replica was not seen yet
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  struct Node;
  class NodeLog;
  struct Wire {
    std::shared_ptr<SimLink> ends[2];
    int64_t parted_until_ms = 0;
  };

  // world.cc
  void pass(int64_t ms);
  void act();
  void start(Node& node);
  void stop(Node& node, bool crash, const char* why);
  void turn(Node& node);
  void connect(size_t a, size_t b);
  void cut(size_t a, size_t b, const char* why);
  [[nodiscard]] Wire& wire(size_t a, size_t b) { return wires_[{std::min(a, b), std::max(a, b)}]; }
  void tell(const std::string& line);
  Node& any_node();

  // writers.cc
  void write(Node& node);
  void put_file(Node& node, const std::string& path);
  void drop_file(Node& node, const std::string& path);
  void move_file(Node& node, const std::string& from, const std::string& to);
  void move_directory(Node& node);
  void stamp_times(Node& node, const std::string& path);
  [[nodiscard]] std::string any_path();

  // people.cc
  void command(Node& node);
  void promote(Node& node, bool force);
  void demote(Node& node);
  void switchover(Node& node, Node& to);
  void catch_up(Node& node);
  void approve(Node& node);
  void command_what_is_held();
  [[nodiscard]] static std::tuple<bool, uint64_t, uint64_t> rank(const Node& node);

  // checks.cc
  void look_at(Node& node);  // its tree, after whoever did something there
  void expect_alive(VersionNumber version, const std::string& why);
  [[nodiscard]] bool alive(VersionNumber version) const;
  [[nodiscard]] bool kept(VersionNumber version) const;
  void check_facts(Node& node);
  void check_handed_over(const std::string& from, const std::string& to);
  void check_end();
  [[nodiscard]] std::string tree_difference() const;
  void fail_with(const std::string& why);
  void mutate(const std::string& from, const std::string& to, Message& message);
  [[nodiscard]] std::string story() const;

  WorldOptions options_;
  Chance chance_;
  SimClock clock_;
  Traffic traffic_;
  std::string base_;
  bool mounted_ = false;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<std::pair<size_t, size_t>, Wire> wires_;
  Versions versions_;
  std::map<std::pair<uint64_t, uint64_t>, std::string> reign_owner_;
  std::map<std::pair<std::string, uint64_t>, std::string> followed_;  // (node, epoch) → whom
  std::deque<std::string> lines_;
  uint64_t steps_ = 0;
  uint64_t line_digest_ = 0;
  bool calm_ = false;  // no faults, no writers
  Counts counts_;
  std::string failure_;
};

struct World::Node {
  std::string name;
  size_t number = 0;
  run::TreeOptions options;
  Disk disk;
  std::unique_ptr<Log> log;
  std::unique_ptr<run::TreeEngine> engine;
  int64_t starts_ms = 0;  // when it is down
  run::TreeFacts facts;   // as of its last round
  bool facts_known = false;
  TreeView view;
  uint64_t seen_changes = UINT64_MAX;  // Disk::changes when `view` was made
  bool recovering = false;             // its start may put back what was not durable
  uint64_t epoch_durable = 0;
  bool switching = false;
  bool catching = false;
  bool asking = false;
  std::string refused;  // the last promote, why
};

}  // namespace repl::sim
