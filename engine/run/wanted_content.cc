#include "engine/run/wanted_content.h"

#include <map>
#include <set>

#include "engine/model/hash.h"

namespace repl::run {

namespace {

class WantedContent {
 public:
  WantedContent(const Index& index, uint64_t seed,
                const std::unordered_map<Key, apply::Hold>& holds)
      : index_(index), seed_(seed), holds_(holds) {}

  Fingerprint root() {
    for (const auto& [key, hold] : holds_) take(key, hold);
    while (
        !by_depth_.empty()) {  // deepest first: a directory is settled before the one that holds it
      const auto last = std::prev(by_depth_.end());
      const std::set<DirId> dirs = std::move(last->second);
      by_depth_.erase(last);
      for (const DirId dir : dirs) settle(dir);
    }
    const std::optional<Entry> entry = index_.get(root_key);
    if (!entry) return index_.root_content();
    return Fingerprint{entry_content_hash(seed_, root_key.name,
                                          own_attributes(root_key, entry->attr), sum(root_dir))};
  }

 private:
  // Of a directory's children, as wanted so far.
  Fingerprint& sum(DirId dir) {
    const auto [at, fresh] = sums_.try_emplace(dir);
    if (fresh) {
      if (const auto summary = index_.summary(dir)) at->second = summary->content;
      by_depth_[depth(dir)].insert(dir);
    }
    return at->second;
  }

  size_t depth(DirId dir) const {
    size_t depth = 0;
    for (std::optional<DirSummary> at; dir != root_dir; ++depth) {
      at = index_.summary(dir);
      if (!at) break;
      dir = at->place.dir;
    }
    return depth;
  }

  static bool is_dir(const Attributes& attr) { return attr.type == FileType::directory; }

  void take(const Key& key, const apply::Hold& hold) {
    if (key.is_root() || (!hold.wants_removal && hold.wanted.type == FileType::none)) return;
    if (!index_.summary(key.dir)) return;
    const std::optional<Entry> recorded = index_.get(key);
    if (recorded && is_dir(recorded->attr) && !hold.wants_removal && is_dir(hold.wanted)) {
      static_cast<void>(sum(recorded->attr.dir));  // its own attributes: settled with it
      return;
    }
    if (recorded)
      sum(key.dir) = subtract(sum(key.dir), index_.content_hash(key).value_or(Bits128{}));
    if (!hold.wants_removal) {
      sum(key.dir) = add(sum(key.dir), entry_content_hash(seed_, key.name, hold.wanted, {}));
    }
  }

  const Attributes& own_attributes(const Key& key, const Attributes& recorded) const {
    const auto at = holds_.find(key);
    const bool other = at != holds_.end() && !at->second.wants_removal && is_dir(at->second.wanted);
    return other ? at->second.wanted : recorded;
  }

  void settle(DirId dir) {
    if (dir == root_dir) return;
    const std::optional<DirSummary> summary = index_.summary(dir);
    if (!summary) return;
    const Key& place = summary->place;
    const std::optional<Entry> entry = index_.get(place);
    const std::optional<Bits128> was = index_.content_hash(place);
    if (!entry || !was) return;
    const auto held = holds_.find(place);
    const bool goes =
        held != holds_.end() && (held->second.wants_removal || !is_dir(held->second.wanted));
    if (goes) return;  // with everything below it
    const Bits128 now =
        entry_content_hash(seed_, place.name, own_attributes(place, entry->attr), sums_[dir]);
    sum(place.dir) = add(subtract(sum(place.dir), *was), now);
  }

  const Index& index_;
  uint64_t seed_;
  const std::unordered_map<Key, apply::Hold>& holds_;
  std::unordered_map<DirId, Fingerprint> sums_;
  std::map<size_t, std::set<DirId>> by_depth_;
};

}  // namespace

Fingerprint wanted_content(const Index& index, uint64_t seed,
                           const std::unordered_map<Key, apply::Hold>& holds) {
  if (holds.empty()) return index.root_content();
  return WantedContent(index, seed, holds).root();
}

}  // namespace repl::run
