// handle_cache.h: kernel file handle → directory id, and the handles that are known to be no
// concern of ours.
//
// Invariants: a handle is either known or foreign, never both; what add() taught is never turned
// into a miss by a lookup that began earlier. Known handles are evicted only if the resolver gives
// the same answer, since a directory is added before the index has its record.
//
// Bounds: foreign_max misses (then all are forgotten: each costs one more resolver call); known_max
// known ones, enforced by trim(). Thread: add and remove from any; find and trim from the owner
// (they call the resolver, without the lock).
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "engine/base/ids.h"
#include "engine/watch/watcher.h"

namespace repl::watch {

class HandleCache {
 public:
  HandleCache(const HandleResolver& resolver, size_t known_max, size_t foreign_max)
      : resolver_(resolver), known_max_(known_max), foreign_max_(foreign_max) {}

  void add(std::string_view handle, DirId dir);
  // The handle that the directory had, if it is still cached.
  std::optional<std::string> remove(DirId dir);
  // Nothing: not of this tree.
  [[nodiscard]] std::optional<DirId> find(std::string_view handle);
  // Evicts a bounded number of known handles while there are more than known_max.
  void trim();

  [[nodiscard]] size_t known_count() const;
  [[nodiscard]] size_t foreign_count() const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Known = std::unordered_map<std::string, DirId, Hash, std::equal_to<>>;
  void set_locked(std::string_view handle, DirId dir);
  void erase_locked(Known::iterator entry);

  const HandleResolver& resolver_;
  const size_t known_max_;
  const size_t foreign_max_;
  mutable std::mutex mutex_;
  Known known_;
  std::unordered_map<DirId, const std::string*>
      handle_of_;  // into known_'s nodes, which do not move
  std::unordered_set<std::string, Hash, std::equal_to<>> foreign_;
  size_t trim_bucket_ = 0;
};

}  // namespace repl::watch
