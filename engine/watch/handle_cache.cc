#include "engine/watch/handle_cache.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace repl::watch {

namespace {
constexpr size_t trim_entries_max = 4096;  // per call
}

void HandleCache::set_locked(std::string_view handle, DirId dir) {
  if (const auto old = handle_of_.find(dir); old != handle_of_.end() && *old->second != handle) {
    erase_locked(known_.find(*old->second));
  }
  const auto [entry, fresh] = known_.try_emplace(std::string(handle), dir);
  if (!fresh && entry->second != dir) {
    handle_of_.erase(entry->second);
    entry->second = dir;
  }
  handle_of_.insert_or_assign(dir, &entry->first);
}

void HandleCache::erase_locked(Known::iterator entry) {
  handle_of_.erase(entry->second);
  known_.erase(entry);
}

void HandleCache::add(std::string_view handle, DirId dir) {
  const std::lock_guard lock(mutex_);
  if (const auto miss = foreign_.find(handle); miss != foreign_.end()) foreign_.erase(miss);
  set_locked(handle, dir);
}

std::optional<std::string> HandleCache::remove(DirId dir) {
  const std::lock_guard lock(mutex_);
  const auto entry = handle_of_.find(dir);
  if (entry == handle_of_.end()) return std::nullopt;
  std::string handle = *entry->second;
  erase_locked(known_.find(handle));
  return handle;
}

std::optional<DirId> HandleCache::find(std::string_view handle) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto hit = known_.find(handle); hit != known_.end()) return hit->second;
    if (foreign_.contains(handle)) return std::nullopt;
  }
  const std::optional<DirId> answer = resolver_.dir_of(handle);
  const std::lock_guard lock(mutex_);
  // RACE: add() may have taught the handle, or the id with another handle, while the resolver was
  // asked. What add() said is newer; a miss stored over it would blind us to that directory for
  // good.
  if (const auto hit = known_.find(handle); hit != known_.end()) return hit->second;
  if (answer) {
    if (!handle_of_.contains(*answer)) set_locked(handle, *answer);
    return answer;
  }
  if (foreign_.size() >= foreign_max_) foreign_.clear();
  foreign_.emplace(handle);
  return std::nullopt;
}

void HandleCache::trim() {
  std::vector<std::pair<std::string, DirId>> candidates;
  {
    const std::lock_guard lock(mutex_);
    if (known_.size() <= known_max_) return;
    const size_t wanted = std::min(trim_entries_max, known_.size() - known_max_);
    for (size_t seen = 0; seen < known_.bucket_count() && candidates.size() < wanted; ++seen) {
      trim_bucket_ = (trim_bucket_ + 1) % known_.bucket_count();
      candidates.insert(candidates.end(), known_.begin(trim_bucket_), known_.end(trim_bucket_));
    }
  }
  std::erase_if(candidates, [&](const auto& c) { return resolver_.dir_of(c.first) != c.second; });
  const std::lock_guard lock(mutex_);
  for (const auto& [handle, dir] : candidates) {
    const auto entry = known_.find(handle);
    if (entry != known_.end() && entry->second == dir) erase_locked(entry);
  }
}

size_t HandleCache::known_count() const {
  const std::lock_guard lock(mutex_);
  return known_.size();
}

size_t HandleCache::foreign_count() const {
  const std::lock_guard lock(mutex_);
  return foreign_.size();
}

}  // namespace repl::watch
