// stamp.h: tells a tree, or a state directory, that was restored from a snapshot from one that was
// not: by a small file in the staging area, which lies on the tree's filesystem, and its
// counterpart in the index (meta "stamp").
//
// Each commit of the index holds what the file will say (last) and what it says now (previous);
// the file is written once the commit is durable. So after any crash the file lies between the two.
// It is not synced: after a loss of power it may be older by what the kernel had not written yet,
// which is told from a snapshot by its age.
//
// File: bits reign, u64 epoch, u64 cut, i64 wall clock (s), u64 the lower half of XXH3-128 of
// those. Thread: the engine's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/base/clock.h"
#include "engine/index/index.h"
#include "engine/role/node_state.h"

namespace repl::run {

struct StampValue {
  Position position;
  int64_t wall_s = 0;
  bool operator==(const StampValue&) const = default;
};

enum class WentBack : uint8_t { no, tree, state };

struct StampRecord {
  StampValue last;
  StampValue previous;
};
// Pure. `file`: what was found; nothing (none, or torn) tells nothing: an emptied root has its own
// brake. `settled`: the last run ended in order, or
// the machine was not started anew since, so that nothing of the file was lost with the power.
[[nodiscard]] WentBack went_back(const StampRecord& record, const std::optional<StampValue>& file,
                                 const Lineage& lineage, bool settled);

class Stamp {
 public:
  // `area` outlives it.
  void open(int area, const Index& index);
  [[nodiscard]] WentBack check(const role::NodeState& state, bool same_boot) const;
  // Into the index, with what is committed next.
  void record(Index& index, const Position& position, int64_t wall_s);
  [[nodiscard]] const StampValue& recorded() const { return record_.last; }
  // That commit is durable.
  [[nodiscard]] Status committed(const StampValue& value);

 private:
  int area_ = -1;
  std::optional<StampRecord> found_;  // in the index, at the start
  std::optional<StampValue> written_;
  StampRecord record_;
};

}  // namespace repl::run
