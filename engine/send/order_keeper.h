// order_keeper.h: which records of a cut may be published while large contents of it, or of cuts
// before it, are under way.
//
// New names and newer versions of what is there may; nothing that destroys a version may (unlink,
// rename over, truncate, rmdir), nor what lies in a directory whose record waits, nor a name of a
// link group of which one waits: a writer that makes a large file and then removes what it replaces
// finds that order kept. What becomes of a file whose own content is under way: its newer state
// takes the older one's place, or is sent behind it.
//
// Thread: one owner.
#pragma once

#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "engine/send/held_back.h"
#include "engine/send/large_contents.h"

namespace repl::send {

class OrderKeeper {
 public:
  OrderKeeper(const Index& index, LargeContents& large)
      : index_(index), large_(large), held_(index) {}

  // A cut begins. `watch`: it has large contents, or some are under way.
  void begin(bool watch);
  // From here on, too: a content of this cut is put off.
  void watch() { watching_ = true; }
  [[nodiscard]] bool watching() const { return watching_; }
  // The record comes next in its cut. True: it is not to be sent now; it waits, or the content
  // under way sees to it. False: send it, as it is now.
  [[nodiscard]] bool take(CutItem& item);
  // The peer does not have what the index says there.
  [[nodiscard]] bool lacks(const Key& key) const;

  [[nodiscard]] size_t held() const { return held_.size(); }
  [[nodiscard]] std::vector<CutItem> release(CutNumber at) { return held_.release(at); }
  // All that waits; until the next cut begins nothing does: this cut must not end before all that
  // is under way is in it.
  [[nodiscard]] std::vector<CutItem> stop_holding(CutNumber at) {
    holding_ = false;
    return held_.release(at);
  }
  [[nodiscard]] bool holding() const { return holding_; }
  // The last release told of what only a later cut says.
  [[nodiscard]] bool released_later() const { return held_.released_later(); }
  // Its release is put off.
  void hold(CutItem item) { held_.hold(std::move(item)); }
  // The trees are compared: that finds what waits.
  void forget_held() { held_.clear(); }

  // Other names of link groups whose content went with its first name: they are to be sent.
  [[nodiscard]] std::vector<Key> take_orphans() { return std::exchange(orphans_, {}); }
  // The content was put: true if the file changed since its stream began.
  [[nodiscard]] bool changed_since(const Key& key) { return again_.erase(key) > 0; }

 private:
  [[nodiscard]] bool take_under_way(CutItem& item, Work& work);
  void follow_rename(const CutItem& item);
  [[nodiscard]] Work* other_name(const CutItem& item);
  [[nodiscard]] bool waits(const CutItem& item) const;

  const Index& index_;
  LargeContents& large_;
  HeldBack held_;
  bool watching_ = false;
  bool holding_ = true;
  std::unordered_set<Key> again_;  // changed while their stream was under way
  std::vector<Key> orphans_;
  std::unordered_set<Key> moved_from_;  // in this cut: their content lives on under another name
};

}  // namespace repl::send
