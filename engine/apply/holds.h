// holds.h: the keys that differ because a person must decide, durable in the index.
//
// meta "hold/" + 8 bytes directory id + name → string reason, u8 whether it shall be gone, string
// wanted entry (entry_codec.h).
//
// Thread: one owner.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/index/index.h"

namespace repl::apply {

struct Hold {
  Key key;
  std::string reason;
  bool wants_removal = false;
  Attributes wanted;  // unset type: the record was not seen whole
};

class Holds {
 public:
  explicit Holds(Index& index);

  void set(Hold hold);
  void clear(const Key& key);
  // A directory's id became another: `now` says which is which.
  void renumber(const std::function<DirId(DirId)>& now);
  [[nodiscard]] const std::unordered_map<Key, Hold>& all() const { return holds_; }
  [[nodiscard]] size_t size() const { return holds_.size(); }
  // A directory that could not enter: what comes below it is held with it.
  [[nodiscard]] bool holds_dir(DirId dir) const { return dirs_.contains(dir); }
  // A person said yes: the next record of this key keeps the local version aside and goes in.
  bool approve(const Key& key);
  // Of those that are held.
  [[nodiscard]] size_t not_approved() const { return holds_.size() - approved_.size(); }
  [[nodiscard]] bool is_approved(const Key& key) const { return approved_.contains(key); }

 private:
  Index& index_;
  std::unordered_map<Key, Hold> holds_;
  std::unordered_set<DirId> dirs_;
  std::unordered_set<Key> approved_;
};

}  // namespace repl::apply
