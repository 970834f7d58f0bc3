#include "engine/run/record_scan.h"

#include <utility>

#include "engine/base/limits.h"

namespace repl::run {

RecordScan::RecordScan(TreeParts& parts, change::Observer& observer, change::HeldRemovals* held,
                       CutNumber cut, std::function<void()> wake)
    : parts_(parts),
      observer_(observer),
      held_(held),
      cut_(cut),
      scan_(parts, *this, parts.index->counts().entries <= 1, std::move(wake)) {
  if (held_) held_->begin();
  take(root_key, observer_.look(root_key, 0, cut_, change::Contents::leave_unknown));
}

bool RecordScan::step() {
  // Looking again may find directories to go into, and what is found there asks for looks.
  do {
    if (!scan_.step()) return false;
    look_later();
  } while (!scan_.step() || !later_.empty() || replaced_moved());
  settle_missing();
  return true;
}

DirId RecordScan::take(const Key& key, change::Outcome outcome) {
  for (Key& other : outcome.also) later_.push_back(std::move(other));
  for (Key& other : outcome.left_behind) later_.push_back(std::move(other));
  if (held_) {
    for (const auto& [dir, from] : outcome.left) held_->present(from);
  }
  switch (outcome.verdict) {
    case change::Verdict::changed:
      ++changed_;
      note_edit(outcome.item);
      if (held_) held_->present(key);
      break;
    case change::Verdict::unchanged:
      if (held_) held_->present(key);
      break;
    case change::Verdict::gone:
      missing_.insert(key);
      return {};
    case change::Verdict::excluded:
      excluded_.push_back(key);
      return {};
    case change::Verdict::held:
      if (outcome.there.is_set()) there_.insert(outcome.there);
      if (const std::optional<Entry> old = parts_.index->get(key)) replaced_[key] = old->attr.dir;
      return {};
    case change::Verdict::covered:
      return {};
    case change::Verdict::unreadable:
      troubles_.push_back(
          Trouble{.key = key, .reason = outcome.error ? outcome.error->message : ""});
      return {};
    case change::Verdict::no_parent:
      return {};
  }
  const std::optional<Entry> entry = parts_.index->get(key);
  return entry && entry->attr.type == FileType::directory && !key.is_root() ? entry->attr.dir
                                                                            : DirId{};
}

DirId RecordScan::child(const Key& key, int dir_fd, scan::Child& child) {
  change::Seen seen{.stat = std::move(child.stat),
                    .details = child.details,
                    .xattrs = std::move(child.xattrs),
                    .target = std::move(child.target),
                    .handle = std::move(child.handle)};
  return take(key, observer_.observe(key, dir_fd, std::move(seen), 0, true, cut_,
                                     change::Contents::leave_unknown));
}

void RecordScan::note_edit(const CutItem& item) {
  if (!item.content_changed || item.base_size == 0 || edits_.size() >= limits::signature_keys_max)
    return;
  if (item.attr.size < limits::signature_content_bytes_min) return;
  edits_.push_back(Edit{.key = item.key, .size = item.attr.size, .before = item.base_content});
}

void RecordScan::missing(const Key& key) { missing_.insert(key); }

// RACE: what came and went between the look at the directory and its watch left no event, only its
// times.
void RecordScan::listed(DirId dir, const io::Stat& self) {
  unlisted_.erase(dir);
  const std::optional<DirSummary> at = parts_.index->summary(dir);
  const std::optional<Entry> entry = at ? parts_.index->get(at->place) : std::nullopt;
  if (entry && !change::same_stat(*entry, self)) later_.push_back(at->place);
}

void RecordScan::elsewhere(DirId dir) { unlisted_.insert(dir); }

void RecordScan::unreadable_child(const Key& key, const Error& error) {
  troubles_.push_back(Trouble{.key = key, .reason = error.message});
}

void RecordScan::unreadable(DirId dir, const Error& error) {
  unlisted_.insert(dir);
  const std::optional<DirSummary> at = parts_.index->summary(dir);
  troubles_.push_back(Trouble{.key = at ? at->place : root_key, .reason = error.message});
}

void RecordScan::unwatched(DirId, const Error& error) {
  if (watch_errors_.size() < 8) watch_errors_.push_back(error);
}

// Names of link groups and former places of what moved; each look may ask for more, but settles
// something.
void RecordScan::look_later() {
  while (!later_.empty()) {
    const Key key = std::move(later_.back());
    later_.pop_back();
    const DirId below = take(key, observer_.look(key, 0, cut_, change::Contents::leave_unknown));
    if (below.is_set()) scan_.begin(below);
  }
}

// As in CutBuilder::look_again_where_replaced().
bool RecordScan::replaced_moved() {
  return std::erase_if(replaced_, [&](const auto& replaced) {
           const auto& [key, dir] = replaced;
           const std::optional<Entry> entry = parts_.index->get(key);
           const bool left = !entry || entry->attr.dir != dir;
           if (!left && !there_.contains(dir)) return false;
           if (left)
             held_->present(key);
           else
             held_->lives(key);
           later_.push_back(key);
           return true;
         }) > 0;
}

bool RecordScan::root_is_empty() const {
  const std::optional<DirSummary> root = parts_.index->summary(root_dir);
  uint64_t gone_from_root = 0;
  for (const Key& key : missing_) {
    if (key.dir == root_dir && parts_.index->contains(key)) ++gone_from_root;
  }
  return root && root->children > 0 && gone_from_root >= root->children;
}

void RecordScan::settle_missing() {
  parts_.index->remove_detached(cut_);
  for (const Key& key : std::exchange(excluded_, {})) record_removal(key);
  // What is held already is held for each key by itself, and the rest goes on.
  const bool engaged = held_ && held_->engaged();
  if (!engaged && !root_emptied_accepted_ && root_is_empty()) {
    root_emptied_ = true;
    return;
  }
  std::set<Key> missing = std::exchange(missing_, {});
  if (!held_) {
    for (const Key& key : missing) record_removal(key);
    return;
  }
  if (root_emptied_accepted_) held_->approve({missing.begin(), missing.end()});
  for (const Key& key : held_->judge(missing)) record_removal(key);
  settle_held();
}

void RecordScan::settle_held() {
  for (const Key& key : held_->settle(false)) {
    const std::optional<Entry> old = parts_.index->get(key);
    if (!old || old->attr.type != FileType::directory) continue;
    parts_.unwatch_tree(old->attr.dir);
    unlisted_.insert(old->attr.dir);
  }
}

void RecordScan::record_removal(const Key& key) {
  const std::optional<Entry> old = parts_.index->get(key);
  if (old && old->attr.type == FileType::directory) parts_.unwatch_tree(old->attr.dir);
  if (!observer_.record_removal(key, cut_).empty()) ++changed_;
}

}  // namespace repl::run
