#include "engine/role/contact.h"

#include <algorithm>

#include "engine/role/node_state.h"
#include "engine/role/parting.h"

namespace repl::role {

namespace {

constexpr const char* policy_differs =
    "the filter or attribute policy of this tree differs between the two nodes: put the same "
    "config file on "
    "both and reload";

// Is the node at a reign of the primary's past, known or pruned?
bool is_related(const Hello& node, const Lineage& lineage) {
  const Reign founding = node.lineage.empty() ? Reign{} : node.lineage.front().reign;
  return has_reign(lineage, node.position.reign) || may_be_pruned(node.position, founding, lineage);
}

bool same_content(const Self& self, const Hello& peer) {
  return self.content_known && peer.content_known && self.content == peer.content;
}

bool has_lineage(const Hello& hello) { return hello.position.reign.is_set(); }

SendDecision hold(std::string reason) { return SendDecision{.reason = std::move(reason)}; }
SendDecision wait_for(std::string reason) {
  return SendDecision{.wait = true, .reason = std::move(reason)};
}

// Two commands that lead out of it: one on the node that has more, and one that gives it up.
std::string catch_up_hint(const std::string& from, const std::string& tree) {
  return "`repl catchup --from " + from + " " + tree + "`";
}

SendDecision decide_join(const Self& self, const Hello& peer, bool join_other_content) {
  if (peer.catch_up) return SendDecision{.send = Send::compare, .reason = {}};
  if (peer.tree_empty) return SendDecision{.send = Send::first_sync, .reason = {}};
  if (!peer.content_known) return wait_for("the peer is reading its files");
  if (!self.content_known) {
    SendDecision decision = wait_for("reading files, to compare with the peer's");
    decision.digests_needed = true;
    return decision;
  }
  if (join_other_content || self.content == peer.content) {
    return SendDecision{.send = Send::compare, .reason = {}};
  }
  return hold("node " + peer.node +
              " has no history with this tree and other content in it: nothing is sent. " +
              catch_up_hint(self.node, self.tree) + " there keeps that aside and joins");
}

SendDecision decide_update(const Self& self, const Hello& peer) {
  const bool same_reign = peer.position.reign == self.position.reign;
  if (same_reign && peer.position.cut > self.position.cut) {
    return hold("node " + peer.node +
                " knows more of this reign than this node remembers: this node's state or tree "
                "went back in time; "
                "nothing is sent");
  }
  const std::optional<Parting> at = parting(peer, self);
  if (!at && !is_related(peer, self.lineage)) {
    return hold("node " + peer.node + " follows another history of this tree: nothing is sent");
  }
  if (at && diverged(*at) && !peer.catch_up && !same_content(self, peer)) {
    return hold("node " + peer.node + " has changes that this node never had: nothing is sent. " +
                catch_up_hint(self.node, self.tree) + " there keeps them aside and catches up");
  }
  const bool certain = is_ancestor(peer.position, self.lineage) && !peer.incomplete;
  if (!certain) return SendDecision{.send = Send::compare, .reason = {}};
  const bool equal = same_content(self, peer) && self.identity == peer.identity;
  if (same_reign && peer.position.cut == self.position.cut) {
    if (equal) return SendDecision{.send = Send::in_sync, .reason = {}};
    // The log has nothing after this cut: only a comparison finds what differs.
    const bool differs = self.content_known && peer.content_known;
    if (differs) return SendDecision{.send = Send::compare, .reason = {}};
  }
  return SendDecision{.send = Send::changes, .since = peer.position.cut, .reason = {}};
}

}  // namespace

SendDecision decide_send(const Self& self, const Hello& peer, bool join_other_content,
                         const std::vector<Reign>& after_power_loss) {
  if (self.role != Role::primary) return hold("this node is not the primary");
  if (!self.synced) return wait_for("this node is still scanning its tree");
  if (peer.tree != self.tree) return hold("the peer speaks of another tree: " + peer.tree);
  if (peer.policy != self.policy) return hold(policy_differs);
  if (peer.role == Role::primary) {
    if (superseded(peer, self)) return wait_for("the peer was the primary before and gives way");
    return hold(
        "node " + peer.node +
        " says that it is the primary, too: neither is applied over the other. If what is here " +
        "counts: `repl demote " + self.tree + "` on " + peer.node + ", then " +
        catch_up_hint(self.node, self.tree) + " there; if what is there: the demote here, then " +
        catch_up_hint(peer.node, self.tree) + " here");
  }
  if (peer.epoch_seen > self.position.epoch) {
    return hold("node " + peer.node + " has seen a newer epoch: another node was promoted");
  }
  if (!peer.synced) return wait_for("the peer is not ready: it scans its tree, or was paused");
  if (peer.drifted && !peer.catch_up) {
    return hold(
        "paths were changed on node " + peer.node + " while it had no primary: nothing is sent. " +
        catch_up_hint(self.node, self.tree) + " there keeps them aside and catches up; `repl " +
        "promote --force " + self.tree + "` there makes what is there the tree");
  }
  if (!join_other_content && !peer.catch_up && !same_content(self, peer) &&
      lost_with_power(peer.position, self.lineage, after_power_loss)) {
    SendDecision decision = hold(
        "node " + peer.node +
        " has cuts of this tree that this node lost with the power: its files may be newer than "
        "those here, and nothing is sent. `repl promote --force " +
        self.tree + "` there makes it the primary, and this node catches up");
    decision.digests_needed = !self.content_known;
    return decision;
  }
  return has_lineage(peer) ? decide_update(self, peer)
                           : decide_join(self, peer, join_other_content);
}

namespace {

ReceiveDecision receive_update(const Self& self, const Hello& peer) {
  const std::optional<Parting> at = parting(self, peer);
  if (!at && !is_related(self, peer.lineage)) {
    return ReceiveDecision{.reason = "node " + peer.node +
                                     " follows another history of this tree: nothing is applied"};
  }
  if (!at || !diverged(*at) || self.catch_up || same_content(self, peer))
    return ReceiveDecision{.accept = true, .reason = {}};
  return ReceiveDecision{
      .diverged = true,
      .reason = "this node has changes that node " + peer.node +
                ", the primary of a newer epoch, never had: nothing is applied over them. " +
                catch_up_hint(peer.node, self.tree) + " keeps them aside and catches up"};
}

}  // namespace

ReceiveDecision decide_receive(const Self& self, const Hello& peer, bool join_other_content) {
  const auto refuse = [](std::string reason) {
    return ReceiveDecision{.reason = std::move(reason)};
  };
  if (peer.tree != self.tree) return refuse("the peer speaks of another tree: " + peer.tree);
  if (peer.policy != self.policy) return refuse(policy_differs);
  if (self.role == Role::primary) {
    return refuse("both nodes say that they are the primary: neither is applied over the other");
  }
  if (peer.role != Role::primary) {
    return ReceiveDecision{.wait = true,
                           .reason = "no primary yet: node " + peer.node + " is not one"};
  }
  if (peer.position.epoch < self.epoch_seen) {
    return refuse("node " + peer.node + " is the primary of an older epoch: refused");
  }
  if (!self.synced) return ReceiveDecision{.wait = true, .reason = "still scanning the tree"};
  if (has_lineage(self)) return receive_update(self, peer);
  if (self.catch_up) return ReceiveDecision{.accept = true, .reason = {}};
  if (self.tree_empty) return ReceiveDecision{.accept = true, .reason = {}};
  // The primary waits to hear that our contents are known, and hears nothing new once we have
  // accepted.
  if (join_other_content && self.content_known)
    return ReceiveDecision{.accept = true, .reason = {}};
  if (self.content_known && peer.content_known && self.content == peer.content) {
    return ReceiveDecision{.accept = true, .reason = {}};
  }
  if (!self.content_known || !peer.content_known) {
    return ReceiveDecision{.wait = true, .reason = "comparing contents before joining"};
  }
  return ReceiveDecision{
      .diverged = true,
      .reason =
          "this node has no history with this tree and other content in it: nothing is applied. " +
          catch_up_hint(peer.node, self.tree) + " keeps that aside and joins"};
}

bool may_found(bool first_in_list, const Self& self, const std::vector<NodeHeard>& others) {
  return first_in_list && self.role == Role::none && !has_lineage(self) && self.synced &&
         std::ranges::all_of(others, [](const NodeHeard& n) { return n.heard && !n.has_lineage; });
}

}  // namespace repl::role
