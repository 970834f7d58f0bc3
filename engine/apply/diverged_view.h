// diverged_view.h: the diverged stores as a reader sees them: without a lock, nothing is changed.
//
// Thread: stateless. Memory: in proportion to the items.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/apply/diverged_manifest.h"
#include "engine/base/error.h"

namespace repl::apply::diverged {

struct View {
  std::string id;
  Manifest manifest;
  bool busy = false;                // somebody is writing to it now
  std::vector<uint64_t> missing;    // items whose object is not there
  std::vector<uint64_t> unclaimed;  // objects of which the manifest says nothing
  [[nodiscard]] bool damaged() const {
    return !manifest.about || manifest.damaged_frames > 0 || !missing.empty() || !unclaimed.empty();
  }
};
// The oldest first. No area, no stores: empty.
[[nodiscard]] Result<std::vector<View>> list_stores(int area);

}  // namespace repl::apply::diverged
