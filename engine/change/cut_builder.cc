#include "engine/change/cut_builder.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"
#include "engine/model/hint_bits.h"

namespace repl::change {

namespace {

constexpr int rounds_max = 8;

}  // namespace

CutBuilder::CutBuilder(Observer& observer, Index& index, io::DirCache& dirs, ChangeSet& changes,
                       HeldRemovals& held, CutHooks hooks, const Clock& clock)
    : observer_(observer),
      index_(index),
      dirs_(dirs),
      changes_(changes),
      held_(held),
      hooks_(std::move(hooks)),
      clock_(clock) {}

void CutBuilder::begin(CutNumber cut) {
  cut_ = cut;
  queue_.clear();
  queued_.clear();
  looked_.clear();
  items_.clear();
  gone_.clear();
  excluded_.clear();
  replaced_.clear();
  there_.clear();
  left_.clear();
  parents_.clear();
  orphans_.clear();
  unreadable_.clear();
  bytes_ = 0;
  put_off_ = false;
}

void CutBuilder::take_dirty() {
  since_ = clock_.now();
  held_.begin();
  for (const Dirty& dirty : changes_.take(limits::cut_keys_max)) {
    since_ = std::min(since_, dirty.since);
    enqueue(dirty.key, dirty.bits);
  }
  put_off_ = !changes_.empty();
}

std::shared_ptr<CutBatch> CutBuilder::build(CutNumber cut, bool always) {
  begin(cut);
  dirs_.next_generation();
  take_dirty();
  bool ordered = false;
  for (int round = 0; round < rounds_max && !ordered; ++round) {
    look_at_all();
    hooks_.drain();
    ordered = !join_newer(true);
  }
  if (!ordered) {
    look_at_all();
    hooks_.drain();
    // Hot keys were read last: what their versions refer to goes with them.
    static_cast<void>(join_newer(false));
    look_at_all();
  }
  // A directory whose place another one took, and which was found nowhere else, is gone.
  index_.remove_detached(cut_);
  settle_orphans();
  name_left_places();
  settle_held();
  return finish(ordered, always);
}

void CutBuilder::look_at_all() {
  listed_ = false;
  for (int pass = 0; pass < rounds_max && (pass == 0 || !queue_.empty()); ++pass) {
    work_off();
    record_removals();
    look_again_where_replaced();
  }
  work_off();
  record_removals();
  // What a look at them brings up is worked off too: nothing else would come back to it.
  while (!parents_.empty()) {
    for (const Key& parent : std::exchange(parents_, {})) look(Work{.key = parent});
    work_off();
    record_removals();
  }
}

void CutBuilder::enqueue(const Key& key, uint32_t bits) {
  const auto [at, inserted] = queued_.try_emplace(key, bits);
  if (inserted) {
    queue_.push_back(Work{.key = key, .bits = bits});
  } else {
    at->second |= bits;
  }
}

bool CutBuilder::full() const { return items_.size() >= limits::cut_keys_max; }

void CutBuilder::work_off() {
  work_off_queue();
  // A key in a directory that moved waits until the directory has been found at its new place, and
  // that one for its own: as long as each pass finds one.
  for (size_t waiting = SIZE_MAX; !orphans_.empty() && orphans_.size() < waiting;) {
    waiting = orphans_.size();
    for (const Work& orphan : std::exchange(orphans_, {})) enqueue(orphan.key, orphan.bits);
    work_off_queue();
  }
  // What lies in a held directory is as gone as that.
  std::erase_if(orphans_, [&](const Work& orphan) {
    return held_.covers(orphan.key.dir) && (gone_.insert(orphan.key), true);
  });
}

// Keys whose directory was not found: if it is gone, they went with it; else the next cut looks for
// them.
void CutBuilder::settle_orphans() {
  for (const Work& orphan : std::exchange(orphans_, {})) {
    if (index_.summary(orphan.key.dir)) put_off(orphan);
  }
}

// For the next cut; so this one is not exact.
void CutBuilder::put_off(const Work& work) {
  changes_.mark(work.key, work.bits, since_);
  put_off_ = true;
}

void CutBuilder::work_off_queue() {
  while (!queue_.empty()) {
    Work work = std::move(queue_.back());
    queue_.pop_back();
    const auto at = queued_.find(work.key);
    work.bits = at->second;
    queued_.erase(at);
    const auto looks = looked_.find(work.key);
    const bool enough = looks == looked_.end() ? full() : looks->second >= limits::cut_looks_max;
    if (enough) {
      put_off(work);
    } else {
      look(work);
    }
  }
}

void CutBuilder::look(const Work& work) {
  const bool room = bytes_ < limits::cut_inline_bytes_max;
  Outcome outcome = observer_.look(work.key, work.bits, cut_,
                                   room ? Contents::read_small : Contents::leave_unknown);
  const bool again = looked_[work.key]++ > 0;
  for (const Key& key : outcome.also) {
    // A key whose directory is elsewhere waits for the directory; once is enough.
    if (outcome.verdict == Verdict::no_parent && looked_.contains(key)) continue;
    if (!again || !looked_.contains(key) || outcome.verdict == Verdict::changed) enqueue(key, 0);
  }
  for (const Key& key : outcome.left_behind) enqueue(key, hint_modified);
  for (const auto& [dir, from] : outcome.left) {
    left_.try_emplace(dir, from);
    held_.present(from);
  }
  covered_.erase(work.key);
  switch (outcome.verdict) {
    case Verdict::gone:
      gone_.insert(work.key);
      break;
    case Verdict::excluded:
      excluded_.insert(work.key);
      break;
    case Verdict::held:
      gone_.erase(work.key);
      if (outcome.there.is_set()) there_.insert(outcome.there);
      if (const std::optional<Entry> entry = index_.get(work.key))
        replaced_[work.key] = entry->attr.dir;
      break;
    case Verdict::changed:
      gone_.erase(work.key);
      held_.present(work.key);
      take_item(std::move(outcome.item));
      break;
    case Verdict::unreadable:
      // RACE: it was replaced during the look; the next one sees what is there now.
      if (outcome.error->code == ErrorCode::changed) {
        put_off(work);
        break;
      }
      unreadable_.push_back(Unreadable{.key = work.key, .error = *outcome.error});
      break;
    case Verdict::covered:
      covered_.insert(work.key);
      break;
    case Verdict::unchanged:
      gone_.erase(work.key);
      held_.present(work.key);
      break;
    case Verdict::no_parent:
      orphans_.push_back(work);
      break;
  }
  // One that waits for its directory is looked at again, with the same bits.
  const bool found = outcome.verdict != Verdict::no_parent;
  if (found && (work.bits & (hint_created | hint_removed | hint_moved)) != 0)
    touch_parent(work.key);
  if (outcome.list.is_set())
    list_directory(outcome.list, work.key);
  else if (outcome.verdict == Verdict::changed || outcome.verdict == Verdict::unchanged)
    settle_unlisted(work.key);
}

// A directory's times change with its children, and no event says so.
void CutBuilder::touch_parent(const Key& key) {
  if (key.is_root()) return;
  if (const std::optional<DirSummary> at = index_.summary(key.dir)) parents_.insert(at->place);
}

void CutBuilder::take_item(CutItem item) {
  const bool is_new = !item.base_content.is_set() && item.base_size == 0;
  if (is_new) touch_parent(item.key);
  if (item.bytes) bytes_ += item.bytes->size();
  const auto at = items_.find(item.key);
  if (at == items_.end()) {
    items_.emplace(item.key, std::move(item));
    return;
  }
  supersede(at->second, std::move(item));
}

void CutBuilder::list_directory(DirId dir, const Key& key) {
  const Result<int> fd = dirs_.open(dir);
  if (!fd) {
    owe_listing(dir);
    put_off(Work{.key = key, .bits = hint_self});
    return;
  }
  const std::optional<Entry> entry = index_.get(key);
  hooks_.watch(dir, *fd, entry ? entry->local.handle : std::string());
  listed_ = true;
  std::unordered_set<std::string> present;
  // RACE: what came and went in it between the look and the watch left no event, only its times.
  parents_.insert(key);
  const Status listed = io::list_dir(*fd, [&](std::string_view name, FileType) {
    present.emplace(name);
    enqueue(Key{.dir = dir, .name = std::string(name)}, 0);
    return true;
  });
  if (!listed) {
    owe_listing(dir);
    if (listed.error().code == ErrorCode::not_found)
      put_off(Work{.key = key, .bits = hint_self});  // RACE: it was removed since
    else
      unreadable_.push_back(Unreadable{.key = key, .error = listed.error()});
  }
  index_.for_children(dir, [&](std::string_view name, const Entry&) {
    if (listed && !present.contains(std::string(name))) {
      enqueue(Key{.dir = dir, .name = std::string(name)}, 0);
    }
    return true;
  });
}

// Each one by itself: they may move apart before they are seen.
void CutBuilder::owe_listing(DirId dir) {
  std::vector<DirId> below{dir};
  while (!below.empty()) {
    const DirId at = below.back();
    below.pop_back();
    if (!unlisted_.insert(at).second) continue;
    index_.for_children(at, [&](std::string_view, const Entry& entry) {
      if (entry.attr.type == FileType::directory) below.push_back(entry.attr.dir);
      return true;
    });
  }
}

// A directory that is known, but was elsewhere when it was to be listed: all below it is scanned.
void CutBuilder::settle_unlisted(const Key& key) {
  if (unlisted_.empty()) return;
  const std::optional<Entry> entry = index_.get(key);
  if (entry && unlisted_.erase(entry->attr.dir) > 0)
    changes_.mark_rescan(entry->attr.dir, "a directory moved before it was listed");
}

// A directory that moved and is gone now: peers have it at its former place still.
void CutBuilder::name_left_places() {
  for (const auto& [dir, from] : left_) {
    if (index_.summary(dir) || index_.contains(from)) continue;
    take_item(CutItem{
        .key = from, .removed = true, .destroys = true, .attr = {}, .bytes = {}, .copy_from = {}});
  }
}

void CutBuilder::record_removals() {
  // What left the filter is nobody's loss.
  for (const Key& key : std::exchange(excluded_, {})) record_removal(key);
  const std::set<Key> gone = std::exchange(gone_, {});
  for (const Key& key : held_.judge(gone)) record_removal(key);
  // Of what is held the directory's times are new all the same.
  for (const Key& key : gone) {
    if (index_.contains(key)) touch_parent(key);
  }
}

void CutBuilder::record_removal(const Key& key) {
  const std::optional<Entry> old = index_.get(key);
  if (!old) return;
  if (old->attr.type == FileType::directory) hooks_.unwatch(old->attr.dir);
  for (CutItem& item : observer_.record_removal(key, cut_)) {
    const Key of = item.key;
    // A write through the name that is gone may have left no other trace (inotify knows no
    // handles).
    if (!item.removed) enqueue(of, hint_modified);
    if (item.removed) take_base_back(item);
    take_item(std::move(item));
  }
  touch_parent(key);
}

// A directory whose place another object took may have been found at a place of its own since, or
// be one of those that took another one's.
void CutBuilder::look_again_where_replaced() {
  std::erase_if(replaced_, [&](const auto& replaced) {
    const auto& [key, dir] = replaced;
    const std::optional<Entry> entry = index_.get(key);
    const bool left = !entry || entry->attr.dir != dir;
    if (!left && !there_.contains(dir)) return false;
    if (left)
      held_.present(key);
    else
      held_.lives(key);
    enqueue(key, 0);
    return true;
  });
}

// A directory whose removal is held may live on outside the tree; should it come back, all below it
// is looked at.
void CutBuilder::settle_held() {
  for (const Key& key : held_.settle(changes_.empty() && !changes_.rescan_needed())) {
    const std::optional<Entry> entry = index_.get(key);
    if (!entry || entry->attr.type != FileType::directory) continue;
    hooks_.unwatch(entry->attr.dir);
    owe_listing(entry->attr.dir);
  }
}

// What peers hold under a key that is removed after it was looked at in this cut is what the first
// look said.
void CutBuilder::take_base_back(CutItem& removed) {
  const auto looked = items_.find(removed.key);
  if (looked == items_.end()) return;
  removed.base_content = looked->second.base_content;
  removed.base_size = looked->second.base_size;
  items_.erase(looked);
}

// True if a key of this cut has a newer event, or a directory was listed: then all that is dirty
// joins the cut, those keys last (the queue is a stack). Without `again` only what is new joins.
bool CutBuilder::join_newer(bool again) {
  const auto hot = [&](const Dirty& dirty) { return looked_.contains(dirty.key); };
  std::vector<Dirty> newer = changes_.take(limits::dirty_keys_max);
  std::ranges::partition(newer, hot);
  const bool join = !again || listed_ || (!newer.empty() && hot(newer.front()));
  put_off_ = put_off_ && !(join && again);
  for (const Dirty& dirty : newer) {
    if (join && (again || !hot(dirty)))
      enqueue(dirty.key, dirty.bits);
    else
      changes_.mark(dirty.key, dirty.bits, dirty.since);
  }
  return join;
}

std::shared_ptr<CutBatch> CutBuilder::finish(bool ordered, bool always) {
  auto batch = std::make_shared<CutBatch>();
  batch->cut = cut_;
  batch->ordered = ordered && unreadable_.empty() && !put_off_;
  complete_link_groups(items_, index_, cut_);
  // What lies below a directory that went in this cut is left out: it went with it.
  batch->items = in_order(std::exchange(items_, {}), index_, [&](const CutItem& item) {
    return item.removed != index_.contains(item.key);
  });
  if (batch->items.empty() && !(always && batch->ordered)) return nullptr;
  const std::optional<DirSummary> root = index_.summary(root_dir);
  batch->content = index_.root_content();
  batch->content_known = root && root->unknown == 0;
  return batch;
}

}  // namespace repl::change
