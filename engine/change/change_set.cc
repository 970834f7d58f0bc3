#include "engine/change/change_set.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"
#include "engine/model/hint_bits.h"

namespace repl::change {

void ChangeSet::mark(const Key& key, uint32_t bits, MonotonicTime now) {
  if (rescan_all_) return;
  const auto [at, inserted] = keys_.try_emplace(key, State{.bits = bits, .since = now});
  if (inserted)
    note_lone(key);
  else
    at->second.bits |= bits;
  if (keys_.size() > keys_max_) mark_rescan(std::nullopt, "more changes than are kept in memory");
}

void ChangeSet::mark_rescan(std::optional<DirId> below, std::string reason) {
  if (rescan_all_) return;
  reason_ = std::move(reason);
  if (below) {
    rescan_below_.try_emplace(*below, reason_);
    return;
  }
  rescan_all_ = true;
  rescan_below_.clear();
  keys_.clear();
  marked_in_.clear();
  lone_.clear();
}

void ChangeSet::note_lone(const Key& key) {
  if (++marked_in_[key.dir] > limits::lone_keys_max) return;
  if (lone_.size() >= keys_max_) lone_.clear();  // of keys that are taken as fast as they come
  lone_.push_back(key);
}

std::optional<MonotonicTime> ChangeSet::oldest() const {
  if (keys_.empty()) return std::nullopt;
  return std::ranges::min_element(keys_, {}, [](const auto& item) { return item.second.since; })
      ->second.since;
}

bool ChangeSet::all_open() const {
  return !rescan_needed() && std::ranges::all_of(keys_, [](const auto& item) {
    return (item.second.bits & (hint_modified | hint_closed)) == hint_modified;
  });
}

void ChangeSet::take_at(Keys::iterator at, std::vector<Dirty>& taken) {
  taken.push_back(Dirty{.key = at->first, .bits = at->second.bits, .since = at->second.since});
  const auto in = marked_in_.find(at->first.dir);
  if (--in->second == 0) marked_in_.erase(in);
  keys_.erase(at);
}

std::vector<Dirty> ChangeSet::take(size_t keys_max) {
  std::vector<Dirty> taken;
  taken.reserve(std::min(keys_max, keys_.size()));
  while (keys_.size() + taken.size() > keys_max && taken.size() < keys_max / 2 && !lone_.empty()) {
    if (const auto at = keys_.find(lone_.back()); at != keys_.end()) take_at(at, taken);
    lone_.pop_back();
  }
  while (!keys_.empty() && taken.size() < keys_max) take_at(keys_.begin(), taken);
  if (keys_.empty()) lone_.clear();
  return taken;
}

ChangeSet::Rescan ChangeSet::take_rescan() {
  Rescan rescan;
  rescan.everything = std::exchange(rescan_all_, false);
  for (const auto& [dir, reason] : std::exchange(rescan_below_, {})) rescan.below.push_back(dir);
  rescan.reason = std::exchange(reason_, {});
  return rescan;
}

}  // namespace repl::change
