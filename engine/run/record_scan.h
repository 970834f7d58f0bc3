// record_scan.h: a scan whose findings go into the index: the start of a primary, a rescan after
// lost events, and the first look of a node without history.
//
// It is round 0 of the cut rule. Contents that may have changed are left unknown (or marked by
// their stat); whoever sends them digests them. What is missing is recorded last, because it may
// have moved.
//
// Thread: the engine's.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/change/held_removals.h"
#include "engine/change/observer.h"
#include "engine/run/tree_scan.h"

namespace repl::run {

class RecordScan final : public ScanVisitor {
 public:
  struct Trouble {
    Key key;
    std::string reason;
  };
  struct Edit {
    Key key;
    uint64_t size = 0;
    Digest before;
  };
  // `held`: asked before removals are recorded; null: they all are.
  RecordScan(TreeParts& parts, change::Observer& observer, change::HeldRemovals* held,
             CutNumber cut, std::function<void()> wake);

  void begin(DirId dir) { scan_.begin(dir); }
  // True when it has ended: everything is recorded.
  [[nodiscard]] bool step();
  [[nodiscard]] bool changed() const { return changed_ > 0; }
  [[nodiscard]] uint64_t seen() const { return scan_.seen(); }
  [[nodiscard]] const std::vector<Trouble>& troubles() const { return troubles_; }
  // Large files whose content changed, and what it was; limits::signature_keys_max of them.
  [[nodiscard]] const std::vector<Edit>& edits() const { return edits_; }
  [[nodiscard]] const std::vector<Error>& watch_errors() const { return watch_errors_; }
  // Directories that moved away from the scan, could not be read, or are held: to be scanned when
  // they are seen again.
  [[nodiscard]] const std::unordered_set<DirId>& unlisted() const { return unlisted_; }
  // The scan found fewer than it should: an empty root where the index has entries. Nothing was
  // recorded.
  [[nodiscard]] bool root_emptied() const { return root_emptied_; }
  void accept_emptied_root() {
    root_emptied_accepted_ = true;
    root_emptied_ = false;
  }

  DirId child(const Key& key, int dir_fd, scan::Child& child) override;
  void missing(const Key& key) override;
  void listed(DirId dir, const io::Stat& self) override;
  void elsewhere(DirId dir) override;
  void unreadable(DirId dir, const Error& error) override;
  void unreadable_child(const Key& key, const Error& error) override;
  void unwatched(DirId dir, const Error& error) override;

 private:
  DirId take(const Key& key, change::Outcome outcome);
  void note_edit(const CutItem& item);
  void look_later();
  [[nodiscard]] bool replaced_moved();
  [[nodiscard]] bool root_is_empty() const;
  void settle_missing();
  void settle_held();
  void record_removal(const Key& key);
  TreeParts& parts_;
  change::Observer& observer_;
  change::HeldRemovals* held_;
  CutNumber cut_;
  TreeScan scan_;
  std::vector<Key> later_;
  std::set<Key> missing_;
  std::vector<Key> excluded_;        // there, but no longer in the tree
  std::map<Key, DirId> replaced_;    // held directories in whose place something else is
  std::unordered_set<DirId> there_;  // directories among that
  std::vector<Trouble> troubles_;
  std::vector<Edit> edits_;
  std::vector<Error> watch_errors_;
  std::unordered_set<DirId> unlisted_;
  uint64_t changed_ = 0;
  bool root_emptied_ = false;
  bool root_emptied_accepted_ = false;
};

}  // namespace repl::run
