// brake.h: may so many entries of a tree go? A mass delete waits for a person.
//
// What counts is how much smaller the tree would be than it was within the last
// limits::delete_window_ms: so a rename, a deployment that replaces every file, and names that come
// and go by the thousand are no mass delete, and one that takes minutes is one. Once something is
// held it is measured against what the tree had then, until it is settled: time releases nothing.
//
// Thread: value; the clock comes in. Memory: one number per window_slot of the window.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "engine/base/clock.h"
#include "engine/base/limits.h"

namespace repl::change {

// Both must be exceeded.
struct DeleteLimits {
  bool on = true;
  uint64_t entries = limits::max_delete_entries;
  uint64_t percent = limits::max_delete_percent;  // of what the tree had
  bool operator==(const DeleteLimits&) const = default;
};

class Brake {
 public:
  explicit Brake(const DeleteLimits& limits) : limits_(limits) {}

  // The tree has so many entries: at the begin of each cut, and of each scan.
  void saw(uint64_t entries, MonotonicTime now);
  // Of what it had, would `left` be enough?
  [[nodiscard]] bool allows(uint64_t left, MonotonicTime now) const;
  // The most that the tree had within the window.
  [[nodiscard]] uint64_t most(MonotonicTime now) const;
  [[nodiscard]] const DeleteLimits& limits() const { return limits_; }

  // What went before does not count any more.
  void forget() { seen_.clear(); }

 private:
  DeleteLimits limits_;
  std::deque<std::pair<MonotonicTime, uint64_t>> seen_;  // begin of a slot, most in it
};

}  // namespace repl::change
