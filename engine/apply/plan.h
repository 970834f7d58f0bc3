// plan.h: what a cut is about to do, written before it is published and removed once it is durable,
// so that a crash in between can be explained and undone (recovery.h).
//
// Layout of a file: "repl plan 1\n", then per record u8 kind (0 put, 1 remove, 2 put that
// appends to the file in place), string key (8 bytes directory id big-endian, then the name), puts:
// string entry (entry_codec.h). Written plainly: it
// must survive a crash of the process, not of the machine. A torn end is ignored.
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

[[nodiscard]] Result<Slot> write_plan(Staging& staging, const CutState& cut);
// Of all cuts that are not known to be durable, oldest first.
[[nodiscard]] Result<std::vector<PlannedKey>> read_plans(const Staging& staging);
[[nodiscard]] Status remove_plans(const Staging& staging);

}  // namespace repl::apply
