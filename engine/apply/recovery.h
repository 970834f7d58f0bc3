// recovery.h: after a crash in a publish, the tree goes back to the last durable cut, which is what
// the index says.
//
// Staging holds every version that the index names and the tree no longer shows: found by its
// inode, it goes back to its key. Moved directories go back to where the index has them. New names
// that a plan explains, and that are as planned, go; attributes that are as planned become the
// index's again. Whatever is not explained stays, or is kept. The cut arrives again.
//
// Runs before the scan, once, when the tree is opened. Thread: the owner.
#pragma once

#include <string>
#include <vector>

#include "engine/apply/plan.h"
#include "engine/apply/staging.h"
#include "engine/base/log.h"
#include "engine/index/index.h"

namespace repl::apply {

struct Recovery {
  std::vector<Key> planned_keys;  // may differ from the index and be ours: to be compared if any
  uint64_t put_back = 0;
  uint64_t undone = 0;  // new names taken away, attributes set back
};

// `root` is the tree's root. Afterwards new/, old/ and plan/ are empty.
[[nodiscard]] Result<Recovery> recover(int root, Staging& staging, Index& index, Log& log);

}  // namespace repl::apply
