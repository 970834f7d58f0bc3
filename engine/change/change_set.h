// change_set.h: the keys that may have changed since they were last looked at.
//
// At most one pending change per key; a key that is marked again keeps its first time. Bounded by
// limits::dirty_keys_max: past it the set degrades to "rescan everything" (a reason, no keys),
// because a storm of that size costs a scan less than it costs a list.
//
// Thread: one owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/base/clock.h"
#include "engine/model/key.h"

namespace repl::change {

struct Dirty {
  Key key;
  uint32_t bits = 0;  // HintBits, or 0 when only suspected
  MonotonicTime since;
};

class ChangeSet {
 public:
  explicit ChangeSet(size_t keys_max) : keys_max_(keys_max) {}

  void mark(const Key& key, uint32_t bits, MonotonicTime now);
  // Everything below (none: the whole tree) must be scanned.
  void mark_rescan(std::optional<DirId> below, std::string reason);

  [[nodiscard]] bool empty() const { return keys_.empty() && !rescan_needed(); }
  [[nodiscard]] size_t size() const { return keys_.size(); }
  [[nodiscard]] bool contains(const Key& key) const { return keys_.contains(key); }
  [[nodiscard]] bool rescan_needed() const { return rescan_all_ || !rescan_below_.empty(); }
  [[nodiscard]] std::optional<MonotonicTime> oldest() const;
  // True if every key was modified by a writer that has not closed it yet.
  [[nodiscard]] bool all_open() const;

  // No more than so many. Of more, half of them are the last marked of those that were among the
  // first few in their directory, so that a lone change does not wait for a storm elsewhere; the
  // others in no order.
  [[nodiscard]] std::vector<Dirty> take(size_t keys_max);
  struct Rescan {
    bool everything = false;
    std::vector<DirId> below;
    std::string reason;
  };
  [[nodiscard]] Rescan take_rescan();

 private:
  struct State {
    uint32_t bits = 0;
    MonotonicTime since;
  };
  using Keys = std::unordered_map<Key, State>;
  void note_lone(const Key& key);
  void take_at(Keys::iterator at, std::vector<Dirty>& taken);

  size_t keys_max_;
  Keys keys_;
  std::unordered_map<DirId, uint32_t> marked_in_;  // how many of keys_
  std::vector<Key> lone_;                          // some were taken since
  bool rescan_all_ = false;
  std::map<DirId, std::string> rescan_below_;
  std::string reason_;
};

}  // namespace repl::change
