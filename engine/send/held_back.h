// held_back.h: records that wait until the large contents before them are published, because they
// would destroy a version: the newest of each key, and what peers have under it.
//
// Thread: one owner. Memory: one item per key, without its bytes: the content is read again when
// its turn comes. Past limits::held_back_keys_max a cut waits instead (CutWriter).
#pragma once

#include <unordered_set>
#include <vector>

#include "engine/index/cut_items.h"

namespace repl::send {

class HeldBack {
 public:
  explicit HeldBack(const Index& index) : index_(index) {}

  [[nodiscard]] bool empty() const { return items_.empty(); }
  [[nodiscard]] size_t size() const { return items_.size(); }
  [[nodiscard]] bool holds(const Key& key) const { return items_.contains(key); }
  // Its record, or that of a directory above it, waits.
  [[nodiscard]] bool covers(const Key& key) const;
  [[nodiscard]] bool holds_link(LinkId link) const { return links_.contains(link); }
  // A newer item of a key takes the place of the older; what peers have stays what it was.
  void hold(CutItem item);
  // All, in the order in which records are sent (cut.h), with the other names of their link groups.
  // What the index shows differently by now is told by a later cut, but for what is gone.
  // `at`: the cut that they are sent in.
  [[nodiscard]] std::vector<CutItem> release(CutNumber at);
  // The last release has something as only a cut after `at` says, or may have.
  [[nodiscard]] bool released_later() const { return later_; }
  void clear();

 private:
  [[nodiscard]] bool still_true(CutItem& item, CutNumber at);
  void follow_moved_directories();

  const Index& index_;
  CutItems items_;
  std::unordered_multiset<LinkId> links_;
  bool later_ = false;
};

}  // namespace repl::send
