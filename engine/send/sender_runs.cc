// sender_runs.cc: how a Sender finds what a merged cut has to hold.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "engine/base/limits.h"
#include "engine/send/sender.h"

namespace repl::send {

namespace {

constexpr size_t children_per_step = 256;

}  // namespace

void Sender::begin_run(PlanMode mode) {
  mode_ = mode;
  merging_ = tree_cut_;
  candidates_.clear();
  moved_off_.clear();
  status_.files_done = 0;
  status_.files_total = 0;
  status_.bytes_total = 0;
  switch (mode) {
    case PlanMode::in_sync:
      phase_ = SendPhase::live;
      break;
    case PlanMode::first_sync: {
      const IndexCounts counts = index_.counts();
      status_.files_total = counts.entries;
      status_.bytes_total = counts.bytes;
      walk_root_ = true;
      begin_cut(true);
      break;
    }
    case PlanMode::changes:
      begin_changes();
      break;
    case PlanMode::compare:
      begin_compare();
      break;
  }
}

// --- first sync: the index, from the root down ---

// Directories before what is in them: a directory is walked only after its own record was given.
bool Sender::next_of_first_sync() {
  if (walk_root_) {
    walk_root_ = false;
    if (index_.contains(root_key)) candidates_.push_back(Candidate{.key = root_key});
    walk_.push_back(Walk{.dir = root_dir});
    return true;
  }
  if (walk_.empty()) return false;
  Walk walk = std::move(walk_.front());
  walk_.pop_front();
  const auto children = index_.children_after(walk.dir, walk.cursor, children_per_step);
  if (children.size() == children_per_step) {
    walk_.push_front(Walk{.dir = walk.dir, .cursor = children.back().first});
  }
  for (const auto& [name, entry] : children) {
    candidates_.push_back(
        Candidate{.key = Key{.dir = walk.dir, .name = name}, .dir = entry.attr.dir});
    if (entry.attr.type == FileType::directory) walk_.push_back(Walk{.dir = entry.attr.dir});
  }
  return true;
}

// The next cut that came during a first sync, if it is a small one. False: there is none.
bool Sender::tell_early() {
  if (live_ || mode_ != PlanMode::first_sync || plan_.strict) return false;
  if (told_early_ >= queue_.size()) return false;
  const CutBatch& batch = *queue_[told_early_];
  if (batch.items.size() <= limits::early_keys_max && tell_now(batch))
    static_cast<void>(take_queued(told_early_));
  else
    ++told_early_;
  return true;
}

// All of it, but for removals, with the directories above, which the walk may not have come to.
// False: some of it has to be told after the first sync.
bool Sender::tell_now(const CutBatch& batch) {
  bool all = true;
  for (const CutItem& item : batch.items) {
    const bool told = !item.removed && !given_.contains(item.key) &&
                      (item.key.is_root() || give_parents(item.key.dir, true));
    if (told) give(candidate_at(item.key, false));
    all = all && told;
    piece_full_ = piece_full_ || told;
  }
  return all;
}

// --- changes: the log names the candidates ---

void Sender::begin_changes() {
  diverted_ = false;
  clear_queue();  // the log has them all
  std::vector<Candidate> found;
  std::unordered_set<Key> groups;
  const auto add = [&](const Key& key, bool removed) {
    found.push_back(candidate_at(key, removed));
    return found.size() <= limits::dirty_keys_max;
  };
  const bool reaches = index_.changes_since(
      sent_, [&](const Change& change) { return add(change.key, change.removed); });
  if (!reaches || found.size() > limits::dirty_keys_max) return begin_run(PlanMode::compare);
  // A group is sent with all its names.
  const size_t logged = found.size();
  for (size_t i = 0; i < logged; ++i) {
    const std::optional<Entry> entry = found[i].removed ? std::nullopt : index_.get(found[i].key);
    if (!entry || !entry->attr.link.is_set()) continue;
    for (const Key& name : index_.keys_of_link(entry->attr.link)) {
      if (groups.insert(name).second && name != found[i].key) add(name, false);
    }
  }
  sort_parents_first(found);
  to_ask_.assign(std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  asked_.clear();
  status_.files_total = to_ask_.size();
  phase_ = SendPhase::asking;
}

// By depth, then by key; twice the same key (a group's name that was logged too) goes once. What
// hangs in a directory that is gone goes with the removal above it.
void Sender::sort_parents_first(std::vector<Candidate>& found) const {
  std::unordered_map<DirId, size_t> depths{{DirId{}, 0}, {root_dir, 1}};
  const auto depth_of = [&](DirId dir) -> size_t {
    std::vector<DirId> unknown;
    size_t depth = 0;
    while (!depths.contains(dir)) {
      const auto place = index_.place_of(dir);
      if (!place || unknown.size() > limits::directory_depth_max) break;
      unknown.push_back(dir);
      dir = place->parent;
    }
    const auto at = depths.find(dir);
    const bool placed = at != depths.end() && (at->second > 0 || !dir.is_set());
    depth = placed ? at->second : 0;
    if (!placed) depths[dir] = 0;
    for (auto it = unknown.rbegin(); it != unknown.rend(); ++it) {
      depths[*it] = placed ? ++depth : 0;
    }
    return placed ? depth : 0;
  };
  struct Place {
    size_t depth;
    size_t at;
  };
  std::vector<Place> order;
  order.reserve(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const size_t depth = depth_of(found[i].key.dir);
    if (depth > 0 || found[i].key.is_root()) order.push_back(Place{.depth = depth, .at = i});
  }
  std::sort(order.begin(), order.end(), [&](const Place& a, const Place& b) {
    if (a.depth != b.depth) return a.depth < b.depth;
    return found[a.at].key < found[b.at].key;
  });
  std::vector<Candidate> sorted;
  sorted.reserve(order.size());
  for (const Place& place : order) {
    Candidate& next = found[place.at];
    if (sorted.empty() || sorted.back().key != next.key) sorted.push_back(std::move(next));
  }
  found = std::move(sorted);
}

bool Sender::step_asking() {
  if (to_ask_.empty() && asked_.empty()) {
    begin_cut(false);
    return true;
  }
  if (to_ask_.empty() || asked_.size() >= limits::asks_in_flight_max) return false;
  AskKeys message;
  std::vector<Candidate> batch;
  while (!to_ask_.empty() && batch.size() < limits::keys_per_ask_max) {
    message.keys.push_back(to_ask_.front().key);
    batch.push_back(std::move(to_ask_.front()));
    to_ask_.pop_front();
  }
  asked_.push_back(std::move(batch));
  emit(std::move(message), Lane::bulk);
  return true;
}

Status Sender::on_answer(const KeysAnswer& answer) {
  if (phase_ == SendPhase::comparing && comparer_) return comparer_->on_answer(answer);
  const bool expected = phase_ == SendPhase::asking && !asked_.empty() &&
                        answer.infos.size() == asked_.front().size();
  if (!expected) {
    return fail(ErrorCode::protocol, "the peer answered what was not asked", Remedy::reconnect);
  }
  const std::vector<Candidate> batch = std::move(asked_.front());
  asked_.pop_front();
  for (size_t i = 0; i < batch.size(); ++i) judge(answer.infos[i], batch[i]);
  return {};
}

void Sender::judge(const KeyInfo& theirs, const Candidate& asked) {
  const std::optional<Entry> ours = index_.get(asked.key);
  if (asked.dir.is_set() && (!ours || ours->attr.dir != asked.dir)) {
    candidates_.push_back(asked);  // moved since: give() finds it
    return;
  }
  const bool nothing_there = theirs.type == FileType::none;
  if (!ours) {
    // A directory that lives elsewhere with us is moved there by its own record.
    const bool moved = theirs.dir.is_set() && index_.place_of(theirs.dir).has_value();
    if (nothing_there) return;
    return found(Candidate{.key = asked.key,
                           .removed = true,
                           .peer_type = theirs.type,
                           .peer_content = theirs.content,
                           .peer_size = theirs.size,
                           .dir = moved ? theirs.dir : DirId{}});
  }
  const bool equal = !nothing_there && index_.content_hash(asked.key) == theirs.hash &&
                     index_.identity_hash(asked.key) == theirs.identity;
  // An equal name of a group goes along: another one may have to be linked to it.
  if (equal && !ours->attr.link.is_set()) return;
  candidates_.push_back(Candidate{.key = asked.key,
                                  .peer_type = theirs.type,
                                  .peer_content = theirs.content,
                                  .peer_size = theirs.size,
                                  .dir = asked.dir});
}

// --- compare ---

void Sender::begin_compare() {
  compare_wanted_ = false;
  only_withheld_ = 0;
  diverted_ = false;
  clear_queue();  // the comparison reads the index, which has them all
  resend_.clear();
  writer_.forget_held_back();
  asked_.clear();
  to_ask_.clear();
  comparer_ = std::make_unique<Comparer>(
      index_, seed_, [this](Message m) { emit(std::move(m), Lane::bulk); },
      [this](Candidate c) { found(std::move(c)); });
  comparer_->start();
  phase_ = SendPhase::comparing;
}

// A group is sent with all its names. Those that the comparison did not find were equal.
void Sender::add_link_names() {
  std::unordered_set<Key> known;
  std::unordered_set<LinkId> groups;
  for (const Candidate& candidate : candidates_) {
    const std::optional<Entry> entry = candidate.removed ? std::nullopt : index_.get(candidate.key);
    if (!entry || !entry->attr.link.is_set()) continue;
    known.insert(candidate.key);
    groups.insert(entry->attr.link);
  }
  for (const LinkId group : groups) {
    for (const Key& name : index_.keys_of_link(group)) {
      const std::optional<Entry> entry = index_.get(name);
      if (!entry || !known.insert(name).second) continue;
      candidates_.push_back(Candidate{.key = name,
                                      .peer_type = entry->attr.type,
                                      .peer_content = entry->attr.content,
                                      .peer_size = entry->attr.size});
    }
  }
}

bool Sender::step_comparing() {
  // More than may be remembered: the cut begins now, and the descent goes on while it is open.
  if (candidates_.size() > limits::dirty_keys_max || writer_.open()) {
    if (!writer_.open()) {
      begin_cut(false);
      phase_ = SendPhase::comparing;
    }
    if (feed_writer()) return true;
  }
  if (comparer_->step()) return true;
  if (!comparer_->done()) return false;
  comparer_.reset();
  add_link_names();
  status_.files_total = status_.files_done + candidates_.size();
  if (writer_.open()) {
    phase_ = SendPhase::cutting;
  } else {
    begin_cut(false);
  }
  return true;
}

// --- giving candidates to the writer ---

void Sender::found(Candidate candidate) {
  if (candidate.removed && candidate.dir.is_set())
    moved_off_.push_back(std::move(candidate));
  else
    candidates_.push_back(std::move(candidate));
}

// RACE: a directory that lived elsewhere when the trees were compared was removed before its record
// could move it there: it goes from where the peer has it.
void Sender::remove_moved_off() {
  for (Candidate& left : std::exchange(moved_off_, {})) {
    if (index_.place_of(left.dir) || given_dirs_.contains(left.dir)) continue;
    left.dir = DirId{};
    static_cast<void>(give_once(left));
  }
}

Candidate Sender::candidate_at(const Key& key, bool removed) const {
  Candidate candidate{.key = key, .removed = removed};
  if (const auto entry = removed ? std::nullopt : index_.get(key)) candidate.dir = entry->attr.dir;
  return candidate;
}

// RACE: candidates are found at one moment and sent at another, while the tree goes on. A directory
// that moved meanwhile has a cut of its own to come, but what lies in it has not: it is sent here,
// at its newer place, before anything in it. Worst case: that key was sent as something else
// already; then the trees are compared after this cut.
void Sender::give(Candidate next) {
  bool moved = false;
  if (next.dir.is_set()) {
    const auto place = index_.place_of(next.dir);
    if (place && Key{.dir = place->parent, .name = place->name} != next.key) {
      next = Candidate{
          .key = Key{.dir = place->parent, .name = place->name}, .whole = true, .dir = next.dir};
      writer_.index_moved_on();
      moved = true;
    }
  }
  const bool moved_on = tree_cut_ > merging_ && !next.removed && !next.key.is_root();
  if (moved_on && !give_parents(next.key.dir, moved)) {
    writer_.index_moved_on();
    compare_wanted_ = true;
    return;
  }
  if (give_once(next)) return;
  writer_.index_moved_on();
  compare_wanted_ = compare_wanted_ || next.dir.is_set();
}

// A directory above that changed since the candidates were found, and what is above that; or all.
// False: a place is taken by another record of this cut.
bool Sender::give_parents(DirId dir, bool all) {
  std::vector<Candidate> chain;
  size_t keep = all ? 0 : SIZE_MAX;  // from here on up they are given
  while (dir != root_dir && !given_dirs_.contains(dir)) {
    const auto place = index_.place_of(dir);
    if (!place || chain.size() > limits::directory_depth_max) return true;
    Key key{.dir = place->parent, .name = place->name};
    const std::optional<Entry> entry = index_.get(key);
    if (entry && entry->cut > merging_) keep = std::min(keep, chain.size());
    dir = place->parent;
    chain.push_back(Candidate{.key = std::move(key), .whole = true});
    if (entry) chain.back().dir = entry->attr.dir;
  }
  while (chain.size() > keep) {
    if (!give_once(chain.back())) return false;
    chain.pop_back();
  }
  return true;
}

// False: this cut has a record of that key already. A directory that was given goes once.
bool Sender::give_once(const Candidate& next) {
  const std::optional<Entry> entry = next.removed ? std::nullopt : index_.get(next.key);
  const bool directory = entry && entry->attr.dir.is_set();
  if (directory && given_dirs_.contains(entry->attr.dir)) return true;
  if ((entry || next.removed) && !given_.insert(next.key).second) return false;
  if (directory) given_dirs_.insert(entry->attr.dir);
  writer_.add(next);
  return true;
}

}  // namespace repl::send
