// checks.cc: what must hold in every world, after every step and at the end.
#include <algorithm>

#include "tests/sim/cluster/world.h"
#include "tests/support/tree_digest.h"

namespace repl::sim {

void World::fail_with(const std::string& why) {
  if (!failure_.empty()) return;
  failure_ = why;
  tell("BROKEN: " + why);
}

bool World::kept(VersionNumber version) const {
  return std::ranges::any_of(nodes_, [&](const auto& node) {
    return kept_versions(node->options.state_dir + "/staging", versions_).contains(version);
  });
}

bool World::alive(VersionNumber version) const {
  if (versions_.at(version).superseded) return true;
  const bool in_tree = std::ranges::any_of(nodes_, [&](const auto& node) {
    return std::ranges::any_of(node->view, [&](const auto& at) { return at.second == version; });
  });
  return in_tree || kept(version);
}

void World::expect_alive(VersionNumber version, const std::string& why) {
  if (version != 0 && !alive(version)) {
    fail_with(fmt::format("v{} of {} (written on {}) is nowhere any more: {}", version,
                          versions_.at(version).path, versions_.at(version).node, why));
  }
}

// No version that vanishes here may be the last of its kind, and none gives way to one that it
// superseded, unless it is kept. A start may put back what was not durable yet.
void World::look_at(Node& node) {
  if (node.seen_changes == node.disk.changes) return;
  node.seen_changes = node.disk.changes;
  const TreeView before = std::exchange(node.view, view_tree(node.options.root, versions_));
  for (const auto& [path, version] : node.view) {
    if (version == 0) fail_with(node.name + ": " + path + " has a content that nobody wrote");
  }
  for (const auto& [path, version] : before) {
    const auto now = node.view.find(path);
    if (now != node.view.end() && now->second == version) continue;
    expect_alive(version, "it left " + path + " on " + node.name);
    if (now == node.view.end() || now->second == 0 || version == 0 || node.recovering) continue;
    if (versions_.descends(version, now->second) && !kept(version)) {
      fail_with(
          fmt::format("{}: {} went back from v{} to v{}", node.name, path, version, now->second));
    }
  }
}

void World::check_facts(Node& node) {
  if (!node.facts_known) return;
  if (node.facts.state != "scanning") node.recovering = false;
  const Position& at = node.facts.position;
  if (!at.reign.is_set()) return;
  const std::pair reign(at.reign.high, at.reign.low);
  if (node.facts.role == Role::primary) {
    const auto [owner, is_new] = reign_owner_.emplace(reign, node.name);
    if (!is_new && owner->second != node.name)
      fail_with(node.name + " reigns in a reign of " + owner->second);
  }
  // A primary that starts again begins a new reign of its epoch: whose it is counts.
  if (const auto owner = reign_owner_.find(reign); owner != reign_owner_.end()) {
    const auto [applied, first] =
        followed_.emplace(std::pair(node.name, at.epoch.value), owner->second);
    if (!options_.promotions && !first && applied->second != owner->second)
      fail_with(fmt::format("{} followed both {} and {} in epoch {}", node.name, applied->second,
                            owner->second, at.epoch.value));
  }
  if (at.epoch.value < node.epoch_durable)
    fail_with(fmt::format("{} went back to epoch {}", node.name, at.epoch.value));
  node.epoch_durable = std::max(node.epoch_durable, at.epoch.value);
}

// A planned switchover: who gave the tree away is no primary, and what it has the other one has.
void World::check_handed_over(const std::string& from, const std::string& to) {
  const auto find = [&](const std::string& name) -> Node& {
    return **std::ranges::find_if(nodes_, [&](const auto& node) { return node->name == name; });
  };
  for (const auto& [path, version] : find(from).view) {
    if (version == 0 || versions_.at(version).superseded) continue;
    const TreeView& there = find(to).view;
    if (std::ranges::none_of(there, [&](const auto& at) { return at.second == version; }) &&
        !kept(version) && versions_.at(version).node == from)
      tell(fmt::format("v{} at {} was written too late for the switchover", version, path));
  }
}

std::string World::tree_difference() const {
  const auto first = test::describe_tree(nodes_[0]->options.root, {});
  for (const auto& node : nodes_) {
    std::string differ = test::difference(first, test::describe_tree(node->options.root, {}));
    if (!differ.empty()) return "a and " + node->name + " differ: " + differ;
  }
  return {};
}

void World::check_end() {
  const std::string differ = tree_difference();
  if (!differ.empty()) fail_with("`wait` was answered, but " + differ);
  for (auto& node : nodes_) {
    node->view = view_tree(node->options.root, versions_);
    counts_.kept += kept_versions(node->options.state_dir + "/staging", versions_).size();
  }
  for (VersionNumber v = 1; v <= versions_.count(); ++v) expect_alive(v, "at the end");
}

std::string World::story() const {
  std::string text;
  for (const auto& node : nodes_) {
    text += fmt::format("{}: {} epoch {} cut {}{}{} held {}\n", node->name,
                        node->engine ? node->facts.state : "down", node->facts.position.epoch.value,
                        node->facts.position.cut.value, node->facts.current ? " current" : "",
                        node->facts.diverged ? " diverged" : "", node->facts.held_keys);
    for (const std::string& hold : node->facts.holds) text += "   " + hold + "\n";
    for (const std::string& error : node->facts.errors) text += "   error: " + error + "\n";
    for (const run::PeerFacts& peer : node->facts.peers) {
      text += fmt::format("   {}: {} durable {} {} {}\n", peer.name, peer.phase, peer.durable.value,
                          peer.reason, peer.last_error);
    }
    for (const auto& [path, version] : node->view)
      text += fmt::format("   {} v{}\n", path, version);
  }
  return text;
}

// What a build without a rule would say instead.
void World::mutate(const std::string& from, const std::string& to, Message& message) {
  if (auto* hello = std::get_if<Hello>(&message);
      hello && options_.mutant == Mutant::deaf_primary) {
    // What the hearer does not notice is as if it had not been said.
    for (const auto& node : nodes_) {
      if (node->name != to || node->facts.role != Role::primary) continue;
      if (hello->epoch_seen <= node->facts.position.epoch) continue;
      hello->epoch_seen = node->facts.position.epoch;
      hello->lineage.clear();
      hello->position = {};
      hello->role = Role::none;
    }
  }
  static_cast<void>(from);
}

}  // namespace repl::sim
