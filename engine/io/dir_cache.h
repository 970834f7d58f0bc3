// dir_cache.h: directory id → open descriptor.
//
// A directory is opened by walking names from the root descriptor, as the index has them, and the
// inode that is found is compared with what the index says. Cached descriptors
// (limits::dir_fds_max, least recently used goes) are revalidated once per generation: a directory
// that somebody moved out of the root is then neither read nor written.
//
// Thread: one owner.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>

#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/base/ids.h"
#include "engine/model/dir_parents.h"

namespace repl::io {

class DirCache {
 public:
  DirCache(Fd root, const DirParents& parents);

  // Valid until the next call. `changed` when the walk finds another inode, `not_found` when a name
  // is gone.
  [[nodiscard]] Result<int> open(DirId dir);
  [[nodiscard]] int root() const { return root_.get(); }
  // From now on every cached descriptor is checked again (its parent still leads to it) before it
  // is used.
  void next_generation() { ++generation_; }
  void forget(DirId dir);

 private:
  struct Slot {
    Fd fd;
    uint64_t inode = 0;
    uint64_t mount = 0;
    uint64_t generation = 0;
    std::list<DirId>::iterator recent;
  };
  Result<int> open_at_depth(DirId dir, size_t depth);
  Result<int> revalidate(DirId dir, const DirParents::Place& place, int parent);
  Result<int> open_new(DirId dir, const DirParents::Place& place, int parent);

  Fd root_;
  const DirParents& parents_;
  uint64_t generation_ = 1;
  std::unordered_map<DirId, Slot> slots_;
  std::list<DirId> recent_;
};

}  // namespace repl::io
