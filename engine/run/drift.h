// drift.h: has somebody changed the replica? A secondary's tree must be what apply recorded; what
// is not is drift: held, never overwritten unseen.
//
// What was only touched and is equal again is not drift. A key below a directory that drifted is
// looked at when its own event or the scan comes to it.
//
// Thread: the engine's.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/apply/holds.h"
#include "engine/change/observer.h"
#include "engine/run/tree_scan.h"

namespace repl::run {

class DriftCheck {
 public:
  DriftCheck(TreeParts& parts, const change::Observer& observer, apply::Holds& holds)
      : parts_(parts), observer_(observer), holds_(holds) {}

  // Compares what stands at the key with the index, and holds or releases the key. Returns the
  // directory that stands there, if the index knows it.
  DirId check(const Key& key, int dir_fd, const io::Stat& stat);
  void check_missing(const Key& key);
  // Looks for itself; returns what check() does.
  DirId look(const Key& key);
  // By what a scan saw a while ago: what seems to differ is looked at again, since cuts are
  // published meanwhile.
  DirId check_scanned(const Key& key, const io::Stat& seen);
  // Drift beside a primary is held alone; of what is found without one, that it was is remembered
  // (meta "drift-alone") until nothing is held.
  void primary_is_there(bool there);
  [[nodiscard]] bool found_alone() const;

 private:
  void hold(const Key& key, std::string reason);
  [[nodiscard]] static bool quick_same(const Entry& entry, const io::Stat& stat);
  void release(const Key& key, const Attributes& recorded);
  TreeParts& parts_;
  const change::Observer& observer_;
  apply::Holds& holds_;
  bool alone_ = true;
};

// The start of a secondary: everything is compared with the index.
class DriftScan final : public ScanVisitor {
 public:
  DriftScan(TreeParts& parts, DriftCheck& check, std::function<void()> wake);
  void begin(DirId dir) { scan_.begin(dir); }
  [[nodiscard]] bool step() { return scan_.step(); }
  [[nodiscard]] uint64_t seen() const { return scan_.seen(); }
  [[nodiscard]] std::vector<std::string> take_troubles() { return std::exchange(troubles_, {}); }

  DirId child(const Key& key, int dir_fd, scan::Child& child) override;
  void missing(const Key& key) override;
  void listed(DirId, const io::Stat&) override {}
  // The event that says so has it looked at, and what is below it watched.
  void elsewhere(DirId) override {}
  void unreadable(DirId dir, const Error& error) override;
  void unreadable_child(const Key& key, const Error& error) override;
  void unwatched(DirId dir, const Error& error) override;

 private:
  DriftCheck& check_;
  TreeScan scan_;
  std::vector<std::string> troubles_;
};

}  // namespace repl::run
