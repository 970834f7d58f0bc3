// astray_keys.h: keys under which the peer has something else than its cut says: a content that
// was newer when it was sent, or gone, or did not hold still.
//
// A cut is what the tree was at its moment again when each of them was told once more, as that cut
// has it; or when it was made after all that was known when they were told: what had changed before
// a cut was made is in it, or in an earlier one.
//
// Thread: one owner. Memory: limits::astray_keys_max keys; one more, and telling them again does
// not count.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "engine/model/message.h"

namespace repl::send {

class AstrayKeys {
 public:
  // By the cut that is open.
  void add(const Key& key);
  // Likewise, and telling one key again is not enough: other names lead to the same file.
  void add_more_than(const Key& key);
  // A record leaves: of what earlier cuts told. Of a file only one that brings its content counts,
  // and another name of a file that is astray is, too.
  void told(const Record& record);
  // The cut that was open ends; `newest`: the last one that is known.
  void settle(CutNumber newest);
  // Cut `at`, told now, does not know of some of them.
  [[nodiscard]] bool any(CutNumber at) const;
  [[nodiscard]] bool contains(const Key& key) const { return until_.contains(key); }

 private:
  std::unordered_map<Key, CutNumber> until_;  // up to this cut, unless it is told again before
  std::unordered_set<Key> now_;               // of the open cut
  bool all_now_ = false;
  CutNumber all_until_;
};

}  // namespace repl::send
