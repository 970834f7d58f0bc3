// cut_builder.h: dirty keys → one cut.
//
// The cut rule: at T0 drain the events; D is the dirty set. Look at every key of D. Drain again. If
// no key of the cut has a newer event, the cut is the state of T0 for those keys, and whatever
// changed before T0 is in it or in one before: it is exact. Else all that was drained joins, since
// the newer versions may refer to it, and T0 is now; keys that were looked at already come last,
// so what they refer to is drained after them. A cut that is not exact after rounds_max rounds says
// so (`ordered` false), and its hot keys stay dirty. So does one that could not take all of D.
//
// A removal that HeldRemovals holds is not recorded, and its key waits for no later cut.
//
// Directories that are new to the tree are watched, then listed, and their children join the cut.
// What is gone is recorded last, so that a directory that moved has been found at its new place
// before its old name is taken for a removal.
//
// Thread: one owner. Bounds: limits::cut_keys_max keys; what does not fit stays dirty for the next
// cut. limits::cut_inline_bytes_max bytes of contents; what does not fit is read when it is sent.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/change/change_set.h"
#include "engine/change/held_removals.h"
#include "engine/change/observer.h"
#include "engine/index/cut_items.h"

namespace repl::change {

struct CutHooks {
  std::function<void()> drain;  // kernel events → the change set
  // Before a directory is listed. A failure is reported and the directory is listed all the same.
  std::function<void(DirId, int fd, std::string_view handle)> watch;
  std::function<void(DirId)> unwatch;  // a directory that left the tree, with all below it
};

// A key that could not be looked at; it stays dirty and is tried again.
struct Unreadable {
  Key key;
  Error error;
};

class CutBuilder {
 public:
  CutBuilder(Observer& observer, Index& index, io::DirCache& dirs, ChangeSet& changes,
             HeldRemovals& held, CutHooks hooks, const Clock& clock);

  // Null if nothing changed: looking at hints often finds nothing new. `always`: a cut without
  // items then, which says that the one before is the state of now, if it is exact.
  [[nodiscard]] std::shared_ptr<CutBatch> build(CutNumber cut, bool always = false);
  // What the last build could not read, and directories under another mount.
  [[nodiscard]] const std::vector<Unreadable>& unreadable() const { return unreadable_; }
  [[nodiscard]] const std::set<Key>& covered() const { return covered_; }
  // A directory that was not found where it was to be listed: it and what the index has below it
  // are scanned when they are seen again.
  void owe_listing(DirId dir);

 private:
  struct Work {
    Key key;
    uint32_t bits = 0;
  };
  void begin(CutNumber cut);
  void take_dirty();
  void look_at_all();
  void enqueue(const Key& key, uint32_t bits);
  void work_off();
  void work_off_queue();
  void put_off(const Work& work);
  void settle_orphans();
  void look(const Work& work);
  void list_directory(DirId dir, const Key& key);
  void settle_unlisted(const Key& key);
  void name_left_places();
  void take_item(CutItem item);
  void touch_parent(const Key& key);
  void take_base_back(CutItem& removed);
  void record_removals();
  void record_removal(const Key& key);
  void look_again_where_replaced();
  void settle_held();
  bool join_newer(bool again);
  [[nodiscard]] bool full() const;
  [[nodiscard]] std::shared_ptr<CutBatch> finish(bool ordered, bool always);

  Observer& observer_;
  Index& index_;
  io::DirCache& dirs_;
  ChangeSet& changes_;
  HeldRemovals& held_;
  CutHooks hooks_;
  const Clock& clock_;

  CutNumber cut_;
  MonotonicTime since_{};                     // of the oldest change in this cut
  std::vector<Work> queue_;                   // used as a stack: depth first
  std::unordered_map<Key, uint32_t> queued_;  // in queue_: their bits
  std::unordered_map<Key, int> looked_;       // how often
  CutItems items_;
  std::set<Key> gone_;
  std::set<Key> excluded_;              // there, but no longer in the tree
  std::map<Key, DirId> replaced_;       // held directories in whose place something else is
  std::unordered_set<DirId> there_;     // directories among that
  std::map<DirId, Key> left_;           // directories that moved: where peers have them
  std::unordered_set<DirId> unlisted_;  // known, but nothing in them is watched
  std::vector<Work> orphans_;
  std::set<Key> parents_;
  uint64_t bytes_ = 0;
  bool put_off_ = false;  // something that was dirty is not in this cut
  bool listed_ = false;  // in this round: what came into a directory before its watch left no event
  std::vector<Unreadable> unreadable_;
  std::set<Key> covered_;
};

}  // namespace repl::change
