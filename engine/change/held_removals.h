// held_removals.h: removals that wait for a person (brake.h), and the question before each removal.
//
// A held removal is not recorded: its key stays an entry of the index and is sent to nobody, so
// that the nodes' fingerprints stay equal. What is held is the present difference between index and
// disk: something at the key again, and it is not held any more; a scan finds the rest again. The
// index keeps one thing (meta), that something was held when the daemon stopped: then all that the
// first scan misses is held.
//
// A key stands for all below it. What is no loss is never held: a name of a file that has another
// one in the tree (a rename, a hard link), what was made after the hold began. Where an object took
// the place of a directory, the directory's removal is asked for, too; if it is held, the object is
// not looked at.
//
// Thread: the owner of the index. Memory: a record per held key that is in no held directory.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/base/log.h"
#include "engine/change/brake.h"
#include "engine/index/index.h"

namespace repl::change {

class HeldRemovals {
 public:
  struct Held {
    uint64_t entries = 0;   // the key and what is below it
    uint64_t unknown = 0;   // files among them whose content nobody knows
    bool replaced = false;  // by something that is not in the index therefore
    DirId dir;              // of a directory
  };
  // `name`: the tree's, for the log.
  HeldRemovals(Index& index, const DeleteLimits& limits, const Clock& clock, Log& log,
               std::string name);

  // A cut, or a scan, begins.
  void begin();
  // Nothing is at these keys any more: those whose removal is to be recorded. The others are held.
  [[nodiscard]] std::vector<Key> judge(const std::set<Key>& gone);
  // May the directory at the key go, since another object is there? False: it is held.
  [[nodiscard]] bool may_replace(const Key& key, const Entry& old);
  // The directory that another object's place was taken from is elsewhere in the tree: it may.
  void lives(const Key& key);
  // What the key stood for is there again, or the entry left it.
  void present(const Key& key);
  // All of the tree was looked at.
  void scanned();
  // A cut, or a scan, ends: what became held since the last call. `all_seen`: every hint was
  // looked at.
  [[nodiscard]] std::vector<Key> settle(bool all_seen);

  [[nodiscard]] bool empty() const { return held_.empty(); }
  // The key, or a directory above it, is held: there is nothing to read.
  [[nodiscard]] bool covers(const Key& key) const;
  // The directory, or one above it, is.
  [[nodiscard]] bool covers(DirId dir) const;
  [[nodiscard]] uint64_t entries() const { return entries_; }
  [[nodiscard]] uint64_t unknown() const { return unknown_; }
  [[nodiscard]] const std::map<Key, Held>& keys() const { return held_; }
  // Something is held, or was when the daemon stopped.
  [[nodiscard]] bool engaged() const { return engaged_; }

  // A person says that they were meant: the keys, to be looked at again.
  [[nodiscard]] std::vector<Key> approve();
  // The same of keys that are not held yet.
  void approve(const std::vector<Key>& keys);
  // This node sends no more: nothing is held, and nothing of it is recorded.
  void let_go() { release(); }

 private:
  struct Top {
    Key key;
    Entry entry;
  };
  struct Extent {
    uint64_t entries = 0;
    uint64_t lost = 0;  // of them: they are nowhere else
    uint64_t unknown = 0;
    std::vector<Key> elsewhere;
  };
  void measure(const Key& key, const Entry& entry, const std::set<Key>& gone, Extent& extent) const;
  [[nodiscard]] uint64_t size_of(const Entry& entry) const;
  [[nodiscard]] bool is_elsewhere(const Key& key, const Entry& entry,
                                  const std::set<Key>& gone) const;
  [[nodiscard]] bool is_below(DirId dir, const std::set<Key>& gone) const;
  [[nodiscard]] std::vector<Top> fresh(const std::set<Key>& gone, std::vector<Key>& go);
  [[nodiscard]] uint64_t left_without(uint64_t going) const;
  [[nodiscard]] bool allowed(uint64_t going);
  void hold(const Key& key, const Entry& entry, const Extent& extent, bool replaced);
  void release();
  void drop(std::map<Key, Held>::iterator at);
  bool take_approval(const Key& key);
  void forget_in(DirId dir);
  void forget_below(const Entry& entry);
  void say_passed(uint64_t left);

  Index& index_;
  Brake brake_;
  const Clock& clock_;
  Log& log_;
  std::string name_;
  std::map<Key, Held> held_;
  std::unordered_set<DirId> held_dirs_;
  std::vector<Key> new_;
  uint64_t entries_ = 0;
  uint64_t unknown_ = 0;
  std::map<Key, uint64_t> approved_;  // not yet recorded; their entries
  uint64_t approved_entries_ = 0;
  std::set<Key> alive_;        // lives() said so
  bool engaged_ = false;       // something is held
  bool to_scan_ = false;       // or was, when the daemon stopped: until it has scanned
  int64_t began_wall_ns_ = 0;  // of the hold
  uint64_t said_lost_ = 0;
};

}  // namespace repl::change
