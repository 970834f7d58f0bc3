// remover.h: takes keys off the tree, into staging, and looks at everything that goes.
//
// A directory goes in one rename if it holds nothing but what the index knows; what came out is
// compared again, all of it. One that also holds other things (excluded by the filter, or made
// here) loses what is known and stays. A changed object below is drift: the directory is put back
// and held, or kept.
//
// Thread: one owner. Cost: names before the rename, one statx(2) per object after it.
#pragma once

#include <string>
#include <unordered_set>

#include "engine/apply/workshop.h"

namespace repl::apply {

class Remover {
 public:
  explicit Remover(Workshop& shop) : shop_(shop) {}

  // The index forgets the key, or the key is held. Errors: only what concerns everything.
  [[nodiscard]] Status remove(const Key& key);
  // Directories at or below `top` that hold names which the index does not know, at any depth.
  [[nodiscard]] Result<std::unordered_set<DirId>> impure(DirId top);
  // Is the directory that was moved to (dir, name) still what the index says of `top`, in
  // everything below?
  [[nodiscard]] Result<bool> is_as_known(int dir, const std::string& name, DirId top);
  // Everything known below the directory goes; it and what is not known stay.
  [[nodiscard]] Status remove_known_below(DirId top);

 private:
  Status remove_one(const Key& key, const Entry& entry);
  Status remove_foreign(const Key& key);
  Status take_out(const Key& key, const Entry& entry, const io::Stat& before);
  Status forget_below(DirId top, const std::unordered_set<DirId>& impure_dirs);
  Workshop& shop_;
};

}  // namespace repl::apply
