// sync_work.h: what makes published cuts durable, on a thread of its own.
//
// Thread: built by the owner, run() by the sync thread, handed back to the owner. Several cuts may
// be merged.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/apply/cut_state.h"
#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/index/index.h"
#include "engine/model/position.h"

namespace repl::apply {

struct SyncWork {
  std::vector<Fd> fds;            // to fsync, at most limits::held_fds_max
  bool whole_filesystem = false;  // more than that, or an object that cannot be opened: syncfs
  bool synced = false;            // the index may be committed
  int filesystem = -1;            // the staging area's, opened before the writes
  std::vector<Slot> displaced;    // goes once the cut is durable
  std::vector<Slot> plans;        // likewise
  std::vector<uint64_t> second_copies;  // may be used then (SecondCopies::ready)
  std::shared_ptr<Index::Batch> batch;
  Position position;               // of the last cut in here
  uint64_t ends = 0;               // Applier::ends() at that cut
  std::vector<uint64_t> relinked;  // out: inodes that lost a displaced name, other names live on

  void add(Fd fd);
  // Sync the filesystem, commit the index, then let go of the displaced versions. A failed commit
  // may be run again. A failed sync (Remedy::hold) may not: Linux tells of a lost write once and
  // takes the pages for clean afterwards, so that the next fsync(2) succeeds without them. Nothing
  // was let go of then, and recover() puts the tree back. What cannot be removed is left for the
  // next start.
  [[nodiscard]] static Status run(SyncWork& work, Index& index);
};

}  // namespace repl::apply
