// roles_cluster.h: two or three nodes with the production code of engine/role, an abstract tree on
// each, and a seeded world between them.
//
// A tree is a few keys, each with the number of the write that it holds; numbers only grow. Of a
// node's work, `now` is in memory and `durable` on disk; its tree is on disk at once, as its users
// write it. Handovers are lost, doubled, delayed and reordered across connections; hellos, cuts and
// acknowledgements come in order within one connection or not at all.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "engine/role/handover.h"
#include "tests/sim/roles_contact.h"

namespace repl::sim {

inline constexpr size_t keys = 3;
using Tree = std::array<uint64_t, keys>;

struct Cut {
  Position position;
  Tree tree{};
};
struct Acked {
  Position durable;
};
struct Packet {
  uint64_t connection = 0;
  std::variant<Hello, Cut, Acked, Handover> what;
};

struct Disk {
  role::NodeState state;
  Tree recorded{};  // at state.position
};

struct Node {
  std::string name;
  bool up = true;
  Tree tree{};
  Disk now;
  Disk durable;
  role::HandingOver handing;
  role::TakingOver taking;
  std::deque<role::Action> todo;
  std::deque<role::Hook> hooks;
  bool guard_asked = false;
  bool guarded = false;  // its users cannot write
  bool cut_asked = false;
  bool drain_asked = false;
  int follows = -1;
  Lineage followed;               // its; the own one from its first cut on
  std::map<int, Hello> heard;     // over the present connections
  std::map<int, Position> sent;   // the last cut sent over the present connection
  std::map<int, Position> acked;  // durable there
  std::string held;               // by the last meeting
  MonotonicTime next_hello{};
};

struct Options {
  size_t nodes = 2;
  bool promotions = false;  // by hand, also forced and under partitions
};

class Cluster {
 public:
  Cluster(uint64_t seed, const Options& options);

  // One thing happens. False: an invariant is broken, and failure() says which.
  bool step();
  // Everything is up and connected and nobody interferes: does it end well?
  bool heal();
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] std::string trace() const;
  [[nodiscard]] uint64_t switchovers() const { return switchovers_; }

 private:
  using Steps = std::vector<std::pair<int, void (Cluster::*)(int)>>;

  [[nodiscard]] uint64_t below(uint64_t bound) { return rng_() % bound; }
  [[nodiscard]] int other(int n);
  [[nodiscard]] Reign fresh() { return Reign{{.high = rng_(), .low = rng_() | 1}}; }
  [[nodiscard]] bool connected(int a, int b) const;
  [[nodiscard]] Hello hello_of(int n) const;
  [[nodiscard]] role::TakerFacts taker_facts(int n) const;
  [[nodiscard]] role::Readiness readiness(int n, int peer) const;
  [[nodiscard]] size_t held_keys(int n) const;

  void say(const std::string& what);
  void broken(const std::string& what);
  void want(int n, role::Actions actions);
  void do_next(int n);
  void send(int from, int to, decltype(Packet::what) what);
  void deliver(int from, int to);
  void take(int n, int from, const Packet& packet);
  void hear(int n, int from, const Hello& hello);
  void hear(int n, int from, const Cut& cut);
  void hear(int n, int from, const Acked& acked);
  void hear(int n, int from, const Handover& message);
  void role_changed(int n);
  void fence(int n, const role::NodeState& next);

  void write(int n);
  void make_cut(int n);
  void flush(int n);
  void pump(int n);
  void answer(int n);
  void timers(int n);
  void stop(int n);
  void start(int n);
  void toggle_link(int n);
  void connect(int a, int b);
  void disconnect(int a, int b);
  void repair(int n);
  void switch_over(int n);
  void promote(int n);

  [[nodiscard]] bool was_ever(const Tree& tree, const Lineage& lineage) const;
  void check();
  void check_beginning(int n);
  void check_end();

  std::mt19937_64 rng_;
  Options options_;
  uint64_t calmness_;  // how seldom something bad happens in this world
  std::vector<Node> nodes_;
  std::map<std::pair<int, int>, uint64_t> links_;            // of a < b; 0: none
  std::map<std::pair<int, int>, std::deque<Packet>> wires_;  // from, to
  std::map<std::pair<Reign, uint64_t>, Tree> cuts_;          // ever made
  Tree accepted_{};  // the last write of each key by the users of a primary
  MonotonicTime now_{};
  uint64_t connections_ = 0;
  uint64_t writes_ = 0;
  uint64_t switchovers_ = 0;
  bool calm_ = false;      // healing: no loss
  bool promoted_ = false;  // by hand: more than one primary is to be expected
  std::string failure_;
  std::deque<std::string> trace_;
};

}  // namespace repl::sim
