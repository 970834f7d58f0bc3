// staging_place.h: which directory is a tree's staging area.
//
// Thread: stateless; looks at the filesystem.
#pragma once

#include <string>

#include "engine/base/error.h"

namespace repl::run {

// `configured` if that is set; in the root of a guarded tree (its mount is its own); in the state
// directory where that is on the tree's own mount (a rename must work); else in the root, under a
// reserved name (tree_options.h). Absolute paths. Nothing is made; not_found where root or state
// directory are not there.
[[nodiscard]] Result<std::string> choose_staging(const std::string& root,
                                                 const std::string& configured,
                                                 const std::string& state_dir, bool guarded);

}  // namespace repl::run
