#include <algorithm>
#include <utility>

#include "tests/sim/roles_cluster.h"

namespace repl::sim {

bool Cluster::step() {
  static const Steps doings = {{30, &Cluster::do_next}, {10, &Cluster::write},
                               {10, &Cluster::answer},  {10, &Cluster::flush},
                               {10, &Cluster::pump},    {8, &Cluster::timers},
                               {2, &Cluster::repair},   {1, &Cluster::switch_over}};
  const auto n = static_cast<int>(below(nodes_.size()));
  Node& node = nodes_[n];
  if (!node.up) {
    if (below(20) == 0) start(n);
    if (below(40) == 0) write(n);
    return true;
  }
  if (below(200 * calmness_) == 0) {
    stop(n);
  } else if (below(400 * calmness_) == 0 && node.todo.empty()) {
    promote(n);
  } else if (below(50 * calmness_) == 0) {
    toggle_link(n);
  } else if (below(2) == 0) {
    deliver(other(n), n);
  } else {
    int total = 0;
    for (const auto& [weight, doing] : doings) total += weight;
    auto at = static_cast<int>(below(static_cast<uint64_t>(total)));
    for (const auto& [weight, doing] : doings) {
      at -= weight;
      if (at >= 0) continue;
      // An engine does what it was told before it looks at anything else.
      const bool alone =
          doing == &Cluster::do_next || doing == &Cluster::write || node.todo.empty();
      (this->*(alone ? doing : &Cluster::do_next))(n);
      break;
    }
  }
  check();
  return failure_.empty();
}

bool Cluster::heal() {
  constexpr int rounds = 400;
  calm_ = true;
  for (size_t i = 0; i < nodes_.size(); ++i)
    if (!nodes_[i].up) start(static_cast<int>(i));
  for (int round = 0; round < rounds && failure_.empty(); ++round) {
    for (int n = 0; n < static_cast<int>(nodes_.size()); ++n) {
      while (!nodes_[n].todo.empty()) do_next(n);
      answer(n);
      for (int peer = 0; peer < static_cast<int>(nodes_.size()); ++peer) {
        if (peer == n) continue;
        connect(std::min(n, peer), std::max(n, peer));
        deliver(peer, n);
        while (!nodes_[n].todo.empty()) do_next(n);
      }
      pump(n);
      flush(n);
      if (round % 8 == 0) timers(n);
      repair(n);
      check();
    }
  }
  check_end();
  return failure_.empty();
}

// Was this the tree of a cut of this history? Of a reign that went on under the same epoch every
// cut counts: what a daemon forgot in a crash is in its tree.
bool Cluster::was_ever(const Tree& tree, const Lineage& lineage) const {
  for (size_t i = 0; i < lineage.size(); ++i) {
    const bool ends = i + 1 < lineage.size() && lineage[i + 1].epoch > lineage[i].epoch;
    const uint64_t last = ends ? lineage[i + 1].began_at.value : UINT64_MAX;
    const auto end = cuts_.upper_bound({lineage[i].reign, last});
    for (auto at = cuts_.lower_bound({lineage[i].reign, 0}); at != end; ++at)
      if (at->second == tree) return true;
  }
  return false;
}

// A reign begins with the tree of the cut that its lineage names: what others take for their past
// on its word is its past.
void Cluster::check_beginning(int n) {
  const role::NodeState& state = nodes_[n].now.state;
  if (state.role != Role::primary || state.lineage.size() < 2) return;
  const LineageStep& own = state.lineage.back();
  if (own.began_at != state.position.cut || cuts_.contains({own.reign, own.began_at.value + 1}))
    return;  // it has gone on since
  // Of a reign without a cut of its own it is the cut of the one before.
  for (size_t i = state.lineage.size() - 1; i-- > 0;) {
    const auto began = cuts_.find({state.lineage[i].reign, own.began_at.value});
    if (began == cuts_.end() && state.lineage[i].began_at == own.began_at) continue;
    // It claims nothing of the one before (begin_reign of a history that is not known any more).
    if (began == cuts_.end() && !state.lineage[i].began_at.is_set()) return;
    if (began == cuts_.end() || began->second != nodes_[n].now.recorded)
      broken("a reign begins at a cut that is not its node's");
    return;
  }
}

void Cluster::check() {
  if (promoted_) return;
  size_t primaries = 0;
  for (const Node& node : nodes_) {
    const role::HandoverState& handover = node.durable.state.handover;
    if (handover.stage == role::HandoverStage::handed) {
      const auto peer = std::ranges::find(nodes_, handover.peer, &Node::name);
      if (peer->durable.state.position.cut < handover.final_cut)
        broken("handed, and the successor lacks the final cut");
    }
    if (node.durable.state.role != Role::primary) continue;
    ++primaries;
    for (size_t k = 0; k < keys; ++k)
      if (node.tree[k] < accepted_[k]) broken("the primary lacks what a primary accepted");
  }
  if (primaries > 1) broken("two primaries");
}

void Cluster::check_end() {
  std::vector<const Node*> primaries;
  for (const Node& node : nodes_)
    if (node.now.state.role == Role::primary) primaries.push_back(&node);
  if (primaries.empty()) broken("nobody is the primary in the end");
  if (!promoted_ && primaries.size() != 1) broken("more than one primary in the end");
  if (primaries.size() != 1) return;  // a split brain by command: it stays until a person decides
  for (const Node& node : nodes_) {
    const role::HandoverStage stage = node.now.state.handover.stage;
    if (stage != role::HandoverStage::none && stage != role::HandoverStage::cancelled &&
        node.held.empty()) {
      broken(node.name + " is in the middle of a switchover in the end");
    }
    if (&node == primaries.front() || !node.held.empty()) continue;
    if (node.follows < 0) broken(node.name + " follows nobody and does not say why");
    // The primary may hold what it met as equal a moment before: it has changed since.
    const auto heard = std::ranges::find(primaries.front()->heard, node.name,
                                         [](const auto& of) { return of.second.node; });
    const bool held_there =
        promoted_ && heard != primaries.front()->heard.end() &&
        !meet(hello_of(static_cast<int>(primaries.front() - nodes_.data())), heard->second)
             .held.empty();
    if (node.tree != primaries.front()->tree && !held_there)
      broken(node.name + " differs in the end");
  }
  if (promoted_) return;
  for (const Node& node : nodes_)
    if (!node.held.empty()) broken(node.name + " is held: " + node.held);
}

}  // namespace repl::sim
