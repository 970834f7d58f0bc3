// dir_parents.h: directory id → where it hangs. What the index knows and others need in order to
// walk or to speak of paths.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/base/ids.h"

namespace repl {

// Where a directory hangs; the index implements it.
class DirParents {
 public:
  virtual ~DirParents() = default;
  struct Place {
    DirId parent;
    std::string name;
    uint64_t inode = 0;  // 0: not checked
  };
  // Nothing for an unknown id; never asked for the root.
  [[nodiscard]] virtual std::optional<Place> place_of(DirId dir) const = 0;
};

}  // namespace repl
