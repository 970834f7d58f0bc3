// second_copies.h: where the filesystem has no reflinks, the version of a large file that a
// difference replaced is not thrown away once its cut is durable. It is the file's second copy: the
// next difference brings it up to date (only where the two differ), changes it, and exchanges it
// in. So the first edit costs a copy of the file, the next ones twice what changed.
//
// A second copy is known by the inode of the file that it belongs to. It stands in staging under
// the name that it was displaced to, seen by nobody, and what differs is remembered, not copied:
// files that are edited once are not written twice. It is used only if nobody has it open (who
// reads a displaced version goes on reading it) and nobody wrote to it since: inode, birth, ctime,
// mtime, size. Recovery empties staging, so none outlives the daemon.
//
// Bounds: limits::second_copies_*; past them, and when the disk is full, the oldest go.
// Thread: one owner.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "engine/apply/byte_ranges.h"
#include "engine/apply/cut_state.h"
#include "engine/apply/staging.h"
#include "engine/base/fd.h"
#include "engine/base/ids.h"
#include "engine/index/index.h"
#include "engine/io/fs_ops.h"

namespace repl::apply {

class SecondCopies {
 public:
  explicit SecondCopies(const Staging& staging) : staging_(staging) {}

  // A file of this content was replaced by, or became, that one (it may be the same inode).
  struct Step {
    const Difference& difference;
    uint64_t inode = 0;
    Digest content;
  };
  void advance(const Step& step);
  // What the exchange displaced stands in `slot`: kept, to be used from ready(the answer) on; or
  // nothing: to be removed like any other.
  [[nodiscard]] std::optional<uint64_t> keep(const Slot& slot, const io::Stat& displaced,
                                             const Step& step);
  // The cut that displaced them is durable.
  void ready(const std::vector<uint64_t>& numbers);

  struct Taken {
    Fd file;  // for writing
    Slot slot;
    ByteRanges stale;  // where it is not what its file is
  };
  // No longer ours then.
  [[nodiscard]] std::optional<Taken> take(uint64_t inode, const Digest& content);

  // Those whose file is not in the index any more go. (No directory is detached.)
  void drop_orphans(const Index& index);
  // Room is needed now. False: there was nothing to drop.
  bool drop_all();
  // To be removed, once.
  [[nodiscard]] std::vector<Slot> take_dropped() { return std::exchange(dropped_, {}); }
  [[nodiscard]] size_t size() const { return copies_.size(); }

 private:
  struct Copy {
    uint64_t number = 0;
    Slot slot;
    io::Stat stat;  // as it was displaced
    uint64_t inode = 0;
    Digest content;
    ByteRanges stale;
    bool ready = false;
  };
  using Place = std::list<Copy>::iterator;
  [[nodiscard]] uint64_t bytes() const;
  bool make_room(uint64_t inode, uint64_t bytes);
  Place drop(Place copy);

  const Staging& staging_;
  std::list<Copy> copies_;  // the oldest first
  std::vector<Slot> dropped_;
  uint64_t numbers_ = 0;
};

}  // namespace repl::apply
