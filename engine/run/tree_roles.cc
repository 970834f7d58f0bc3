// tree_roles.cc: who this node is in its tree, and how that changes: founding, promote, demote, and
// giving way to a primary of a newer epoch. What is said or done on the strength of a role is
// durable before.
#include <algorithm>
#include <utility>

#include "engine/apply/applier.h"
#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/role/contact.h"
#include "engine/role/parting.h"
#include "engine/run/primary.h"
#include "engine/run/secondary.h"
#include "engine/run/tree_engine.h"

namespace repl::run {

// --- meeting
// -------------------------------------------------------------------------------------------------

// The peer said hello (again).
void TreeEngine::on_hello(Session& session) {
  const Hello self = make_hello();
  if (role::superseded(self, *session.hello)) return give_way(*session.hello);
  // Somebody of this history was promoted: known from now on, whoever that was.
  if (role::parting(self, *session.hello) && session.hello->epoch_seen > parts_->state.epoch_seen) {
    parts_->state.epoch_seen = session.hello->epoch_seen;
    parts_->store_state();
  }
  consider_currency();  // and with it, perhaps, this session
  if (session.decided) return;
  if (std::string why = not_deciding(); !why.empty()) {
    session.held = paused_ || alone_ || !regressed_.empty();
    session.reason = std::move(why);
    return;
  }
  duty_->on_hello(session, self);
}

// A primary whose tree or state was restored from a snapshot would push what is old. Of a secondary
// drift and the primary's memory of its acknowledgements tell the same.
void TreeEngine::look_for_regression(bool same_boot) {
  if (parts_->state.role != Role::primary || parts_->options.standing != Standing::configured)
    return;
  const WentBack went = parts_->stamp.check(parts_->state, same_boot);
  if (went == WentBack::no) return;
  const std::string& tree = parts_->options.name;
  regressed_ =
      std::string(went == WentBack::tree ? "the tree is older than what this node knows of it"
                                         : "the state directory is older than the tree") +
      " (restored from a snapshot?): nothing is sent. `repl promote " + tree +
      "` on a node that has the newest, then `repl catchup` here; or `repl promote --force " +
      tree + "` here, if what is here counts";
  parts_->log.error("{}: {}", tree, regressed_);
}

// Why nothing is sent or applied now, whoever the peer is; empty: it is.
std::string TreeEngine::not_deciding() const {
  if (paused_) return "paused: `repl resume " + parts_->options.name + "` goes on";
  if (step_down_) return step_down_->why;
  if (primary_ && !regressed_.empty()) return regressed_;
  if (role::waits_for_answer(parts_->state)) {
    return "this node handed the tree to node " + parts_->state.handover.peer +
           ", and waits for its answer";
  }
  if (primary_ && !current_)
    return "this node was the primary, and has not heard yet that it still is";
  return {};
}

void TreeEngine::decide_again() {
  for (const auto& session : sessions_) {
    if (session->link && session->hello && !session->decided) on_hello(*session);
  }
}

// What was agreed on is void: both sides say hello again over a new connection.
void TreeEngine::close_sessions(const std::string& why) {
  const std::string reason = why + std::string(hello_again);
  for (const auto& session : sessions_)
    close_session(*session, make_error(ErrorCode::closed, reason));
}

// A primary that starts shows first that it is the current one: a majority of the nodes has been
// heard, and none knows of a newer epoch.
void TreeEngine::consider_currency() {
  if (!primary_ || current_ || step_down_ || !regressed_.empty()) return;
  const Hello self = make_hello();
  const auto vouching = std::ranges::count_if(
      heard_, [&](const auto& heard) { return role::vouches(self, heard.second); });
  const TreeOptions& options = parts_->options;
  const bool waited = alone_until_ && parts_->clock.now() >= *alone_until_;
  if (role::heard_enough(options.nodes.size(), static_cast<size_t>(vouching))) {
    current_ = true;
  } else if (waited && options.serve_alone) {
    parts_->log.warn("{}: no other node answered: this node serves as the primary (on_alone)",
                     options.name);
    current_ = true;
  } else if (waited) {
    alone_ = true;
    parts_->log.error(
        "{}: this node was the primary, and too few of the others answer to show that it still is: "
        "held until they do, or until `repl promote {}` says so",
        options.name, options.name);
  }
  if (waited || current_) alone_until_.reset();
  if (!current_) return;
  alone_ = false;
  decide_again();
}

std::string TreeEngine::known_primary() const {
  if (primary_) return step_down_ || !current_ ? std::string() : parts_->options.node;
  std::string newest;
  Epoch epoch;
  for (const auto& [node, hello] : heard_) {
    if (hello.role != Role::primary || hello.position.epoch < epoch) continue;
    epoch = hello.position.epoch;
    newest = node;
  }
  return newest;
}

std::string TreeEngine::rival() const {
  if (!primary_ || step_down_) return {};
  const Hello self = make_hello();
  const auto at = std::ranges::find_if(
      heard_, [&](const auto& heard) { return role::rivals(self, heard.second); });
  return at == heard_.end() ? std::string() : at->first;
}

void TreeEngine::describe_role(TreeFacts& facts) const {
  const std::string rival = this->rival();
  facts.current = primary_ && current_ && !step_down_ && rival.empty();
  facts.primary = known_primary();
  facts.paused = paused_;
  const std::string& tree = parts_->options.name;
  if (paused_) facts.holds.push_back("paused: `repl resume " + tree + "` goes on");
  if (step_down_) facts.state = "giving way";
  if (primary_ && !regressed_.empty()) facts.holds.push_back(regressed_);
  facts.handed = role::waits_for_answer(parts_->state);
  if (facts.handed) {
    facts.state = "handed";
    facts.holds.push_back(not_deciding());
  }
  if (!handover_blocked_.empty()) facts.holds.push_back(handover_blocked_);
  if (primary_ && !current_ && facts.state == "synced") facts.state = "unconfirmed";
  if (!rival.empty()) {
    facts.state = "split brain";
    const bool connected =
        std::ranges::any_of(sessions_, [&](const auto& s) { return s->link && s->peer == rival; });
    if (!connected) {  // else what it is held for says it
      facts.holds.push_back("node " + rival +
                            " said that it is the primary, too, and is away: `repl promote " +
                            tree + "` says that this node is");
    }
  }
  if (alone_) {
    facts.holds.push_back(
        "this node was the primary, and too few of the others answer to show that it still is: "
        "`repl promote " +
        tree + "` says that it is");
  }
}

// --- the first primary
// ---------------------------------------------------------------------------------------

void TreeEngine::consider_founding() {
  const TreeOptions& options = parts_->options;
  const bool first = !options.nodes.empty() && options.nodes.front() == options.node;
  if (primary_ || options.standing != Standing::configured || !first || paused_ ||
      parts_->state.position.reign.is_set()) {
    return;
  }
  std::vector<role::NodeHeard> others;
  for (const std::string& node : options.nodes) {
    if (node == options.node) continue;
    const auto at = heard_.find(node);
    others.push_back(
        role::NodeHeard{.node = node,
                        .heard = at != heard_.end(),
                        .has_lineage = at != heard_.end() && at->second.position.reign.is_set()});
  }
  if (!role::may_found(first, make_hello(), others)) return;
  parts_->log.info(
      "{}: every node has been heard and none has a history: this node is the first primary",
      options.name);
  parts_->state = role::found_tree(random_reign());
  ended_ = serve_as_primary();  // nobody follows anybody yet: all hear of it where they are
}

Status TreeEngine::begin_reign() {
  parts_->state.boot = boot_id();
  parts_->start_ids();
  parts_->store_state();
  return duty_->flush();
}

// --- promote
// -------------------------------------------------------------------------------------------------

Result<RoleChange> TreeEngine::promote(const PromoteRequest& request) {
  RoleChange change{.was = parts_->state.role, .position = parts_->state.position};
  if (primary_ && current_ && !step_down_ && rival().empty() && !request.force) {
    change.already = true;
    return change;
  }
  if (Status s = may_promote(request, change.warnings); !s) return fail(s.error());
  if (secondary_) secondary_->list_holds(change.held, change.held_count);
  if (request.dry_run) return change;
  parts_->log.info("{}: promoted by command{}", parts_->options.name,
                   request.force ? ", forced" : "");
  if (secondary_) {
    secondary_->stop();
    if (Status s = duty_->health(); !s) return fail(s.error());
  }
  // What they said before counts no more; those that are there say it again to the new reign.
  if (primary_) {
    std::erase_if(heard_, [self = make_hello()](const auto& heard) {
      return role::rivals(self, heard.second);
    });
  }
  const bool founds = !parts_->state.position.reign.is_set();
  const auto whole_to = secondary_ ? secondary_->whole_to() : std::nullopt;
  if (role::waits_for_answer(parts_->state)) {
    act(handing_.take_back_by_force(parts_->state, random_reign()));
  } else {
    parts_->state = founds ? role::found_tree(random_reign())
                           : role::promote(std::move(parts_->state), random_reign(), whole_to);
    parts_->state.handover.hook_due = true;
    act(handing_.fenced());
    ended_ = serve_as_primary();
    close_sessions("a new reign begins");
    act(role::serve(parts_->state));
  }
  if (!ended_) return fail(ended_.error());
  regressed_.clear();
  change.position = parts_->state.position;
  return change;
}

Status TreeEngine::may_promote(const PromoteRequest& request,
                               std::vector<std::string>& warnings) const {
  const auto refuse = [](std::string why) { return fail(ErrorCode::changed, std::move(why)); };
  const std::string& tree = parts_->options.name;
  const std::string forced = "; `repl promote --force " + tree + "` does it nevertheless";
  const Hello self = make_hello();
  const role::NodeState& self_state = parts_->state;
  if (step_down_) return refuse("this node is giving way just now: ask again");
  if (role::waits_for_answer(self_state) && !request.force) {
    return refuse("this node has handed the tree to node " + self_state.handover.peer +
                  ", which may be the primary" + forced);
  }
  if (secondary_ && !secondary_->ready())
    return refuse("this node is still scanning its tree: ask again");
  for (const auto& session : sessions_) {
    if (!session->link || !session->hello || session->owes_word) continue;
    if (Status s = check_peer_for_promotion(*session, request, warnings); !s) return s;
  }
  for (const std::string& node : parts_->options.nodes) {
    if (node != parts_->options.node && !answers(node))
      warnings.push_back("node " + node + " does not answer: what only it has is not here");
  }
  if (!self.position.reign.is_set() && !request.force)
    return refuse("this node has no history with the tree" + forced +
                  ": what is here is the tree then");
  if (secondary_ && self.incomplete && !request.force) {
    return refuse("what is here is not a whole cut (a first sync or a catch-up is under way)" +
                  forced + ": it may be a mixture of old and new");
  }
  if (!regressed_.empty() && !request.force) return refuse(regressed_);
  if (parts_->state.epoch_seen > self.position.epoch && !request.force) {
    return refuse("another node was promoted since, and its changes are not here" + forced +
                  ": they are lost where this node's take their place");
  }
  if (secondary_ && secondary_->whole_to()) {
    warnings.push_back(
        "newer versions of what is held here, or of a cut that is not whole, are on other nodes "
        "only: those keep them, and ask for a `repl catchup`");
  }
  if (const auto consistency = parts_->index->meta(apply::consistency_meta);
      secondary_ && consistency)
    warnings.push_back("the replica is not an exact state of the primary: " + *consistency);
  return {};
}

Status TreeEngine::check_peer_for_promotion(const Session& session, const PromoteRequest& request,
                                            std::vector<std::string>& warnings) const {
  const Hello& peer = *session.hello;
  const std::string& tree = parts_->options.name;
  std::string why;
  const bool regressed = peer.role == Role::primary && peer.drifted;
  if (peer.role == Role::primary && !regressed && primary_ && current_) {
    why = "node " + peer.node + " is the primary, too, and answers: `repl demote " + tree +
          "` on the one that is to give way; --force begins a new reign here beside that one";
  } else if (peer.role == Role::primary && !regressed && !parts_->state.position.reign.is_set()) {
    why = "node " + peer.node +
          " is the primary, and answers, and this node has no history with the tree: it joins by "
          "itself if its tree is empty or equal, else by `repl catchup --from " +
          peer.node + " " + tree +
          "` here; --force begins another tree, which the others do not follow";
  } else if (peer.role == Role::primary && !regressed) {
    why = "node " + peer.node + " is the primary, and answers: `repl switchover " + tree +
          " --to " + parts_->options.node +
          "` there hands over; --force makes this node the primary in its place";
  } else if (const auto at = role::parting(peer, make_hello());
             at && at->ours_beyond && !regressed) {
    why = "node " + peer.node + " is further (cut " + std::to_string(peer.position.cut.value) +
          "): promote that one; with --force what only it has is not in the tree";
  }
  if (why.empty()) return {};
  if (!request.force) return fail(ErrorCode::changed, std::move(why));
  warnings.push_back(std::move(why));
  return {};
}

// --- demote, and giving way
// ----------------------------------------------------------------------------------

void TreeEngine::request_demote(bool dry_run, std::function<void(Result<RoleChange>)> answer) {
  post([this, dry_run, answer = std::move(answer)]() mutable {
    RoleChange change{.was = parts_->state.role, .position = parts_->state.position};
    change.already = !primary_;
    if (primary_) change.behind = primary_->behind();
    if (change.already || dry_run) return answer(std::move(change));
    if (step_down_ || switching_)
      return answer(fail(ErrorCode::changed, "this node is giving way already"));
    step_down({.why = "this node was demoted, and ends being the primary",
               .change = std::move(change),
               .answer = std::move(answer)});
  });
}

void TreeEngine::give_way(const Hello& newer) {
  parts_->state.epoch_seen = std::max(parts_->state.epoch_seen, newer.epoch_seen);
  parts_->state.handover = role::HandoverState{};
  parts_->store_state();
  act(handing_.fenced());
  if (step_down_) return;
  step_down({.why = "node " + newer.node + " knows of a newer epoch (" +
                    std::to_string(newer.lineage.back().epoch.value) +
                    "): this node is not the primary any more"});
}

// RACE: it may be called while sessions_ is gone through: nothing is taken out of it here.
void TreeEngine::step_down(StepDown how) {
  parts_->log.warn("{}: {}", parts_->options.name, how.why);
  step_down_ = std::move(how);
  current_ = false;
  alone_ = false;
  alone_until_.reset();
  parts_->events.tell(TreeEvent::Kind::demoted, {}, step_down_->why);
  primary_->fence(step_down_->why);
  close_sessions(step_down_->why);
}

// The index must know what was changed here: what the start's scan finds, and what is dirty.
void TreeEngine::continue_step_down() {
  if (!primary_->settled() && step_down_->rounds < limits::step_down_rounds_max) {
    if (primary_->scanned()) ++step_down_->rounds;
    return;
  }
  StepDown how = std::move(*step_down_);
  step_down_.reset();
  how.change.behind = primary_->behind();
  regressed_.clear();
  if (Status s = become_secondary(); !s) {
    ended_ = s;
    if (how.answer) how.answer(fail(s.error()));
    return;
  }
  step_guard();
  if (!parts_->guard.fault().empty()) how.change.warnings.push_back(parts_->guard.fault());
  how.change.position = parts_->state.position;
  if (how.answer) how.answer(std::move(how.change));
}

Status TreeEngine::become_secondary() {
  primary_->stop();
  primary_->let_go();
  parts_->state.role = Role::secondary;
  parts_->state.clean_stop = false;
  parts_->store_state();
  if (Status s = parts_->flush(); !s) return s;
  parts_->changes = change::ChangeSet(limits::dirty_keys_max);
  close_sessions("this node is not the primary any more");
  return begin_secondary();
}

// --- pause
// ---------------------------------------------------------------------------------------------------

void TreeEngine::request_pause(bool paused, std::function<void(Status)> answer) {
  post([this, paused, answer = std::move(answer)] {
    if (paused == paused_) return answer({});
    if (paused)
      parts_->index->put_meta(paused_meta, "1");
    else
      parts_->index->remove_meta(paused_meta);
    paused_ = paused;
    parts_->log.info("{}: {}", parts_->options.name, paused ? "paused" : "resumed");
    close_sessions(paused ? "paused by command" : "resumed by command");
    answer(duty_->flush());
  });
}

}  // namespace repl::run
