// plan.h: what a cut is about to do, written before it is published and removed once it is durable,
// so that a crash in between can be explained and undone (recovery.h).
//
// Layout: "repl plan 2\n", then per record u8 kind (0 put, 1 remove, 2 put that appends to the file
// in place), string key (8 bytes directory id big-endian, then the name), puts: string entry
// (entry_codec.h). In pieces, each the target of a symlink in plan/, whose names count on: the
// first of a plan begins with '1', the others with '2', and no byte is NUL. A symlink because it
// must survive a loss of power without waiting for the disk: its target is metadata, and a journal
// (ext4 since Linux 5.19, xfs, btrfs) keeps what is done to metadata in order. When a rename of the
// publish is on the disk, so is the whole plan; the bytes of a file need not be. A torn end is
// ignored.
//
// Thread: one owner.
#pragma once

#include <vector>

#include "engine/apply/cut_state.h"
#include "engine/apply/staging.h"
#include "engine/base/error.h"

namespace repl::apply {

struct PlannedKey {
  Key key;
  bool removed = false;
  bool appends = false;
  Attributes attr;  // puts
};

// Where its pieces are.
[[nodiscard]] Result<std::vector<Slot>> write_plan(Staging& staging, const CutState& cut);
// Of all cuts that are not known to be durable, oldest first.
[[nodiscard]] Result<std::vector<PlannedKey>> read_plans(const Staging& staging);
[[nodiscard]] Status remove_plans(const Staging& staging);

}  // namespace repl::apply
