// tell_events.cc: what of a tree is told as an event, looked at after each step. Each looks at a
// few flags per peer; texts are made only where something is held.
#include <algorithm>

#include "engine/run/primary.h"
#include "engine/run/secondary.h"
#include "engine/run/tree_engine.h"

namespace repl::run {

// A session that is held stays so through reconnections, until the two agree. Pausing is a person's
// own doing.
void TreeEngine::tell_events() {
  TreeEvents& events = parts_->events;
  if (!events.wanted()) return;
  if (alone_) {
    events.held("alone", {},
                "this node was the primary, and too few of the others answer to show that it still "
                "is: `repl promote " +
                    parts_->options.name + "` says that it is");
  } else {
    events.not_held("alone");
  }
  for (const auto& session : sessions_) {
    if (paused_ || alone_) break;
    const std::string what = "contact with " + session->peer;
    if (session->held) {
      events.held(what, session->peer, session->reason);
    } else if (session->decided) {
      events.not_held(what);
    }
  }
  duty_->tell_events(events);
}

void Primary::tell_events(TreeEvents& events) const {
  const std::string approve = "`repl approve " + parts_.options.name + "`";
  if (emptied_) {
    events.held("root", {},
                "the root is empty, but entries were in it: nothing is removed on any peer until " +
                    approve);
  } else {
    events.not_held("root");
  }
  if (synced() && !held_removals_.empty()) {
    events.held(
        "removals", {},
        "more entries were removed here than max_delete allows: the peers keep them until " +
            approve);
  } else if (synced()) {
    events.not_held("removals");
  }
  if (synced() && !scan_errors_.empty()) {
    events.held("watch", {},
                "a part of the tree is not watched: `repl status` says why, and what helps");
  } else if (synced()) {
    events.not_held("watch");
  }
  for (const std::string& node : parts_.options.nodes) {
    const auto at = std::ranges::find_if(
        senders_, [&](const auto& sender) { return sender.second->node() == node; });
    if (at == senders_.end()) {
      events.not_synced(node);
    } else {
      at->second->tell_events(events);
    }
  }
}

// A cut that is under way does not make a peer one that was not in sync: else a busy tree would
// tell it with each.
void PeerSender::tell_events(TreeEvents& events) const {
  const send::SenderStatus status = sender_.status();
  const std::string hold = hold_of(status);
  const std::string what = "peer " + node_;
  if (hold.empty()) {
    events.not_held(what);
  } else {
    events.held(what, node_, hold);
  }
  if (status.phase != send::SendPhase::live) events.not_synced(node_);
  if (status.in_sync && hold.empty()) events.synced(node_);
}

// What is about to be repaired waits for nobody.
void Secondary::tell_events(TreeEvents& events) const {
  const size_t waiting = applier_->holds().not_approved();
  if (waiting == 0) {
    events.not_held("drift");
    return;
  }
  const bool repaired_later = parts_.options.repair_drift && !receiver_;
  if (!synced() || applier_->in_cut() || repaired_later) return;
  events.held("drift", {},
              "paths were changed here and are held: `repl approve " + parts_.options.name +
                  "` lets the primary's versions in and keeps these");
}

}  // namespace repl::run
