// config_overlap.h: whether two trees of one node can both hold some path.
//
// Thread: stateless.
#pragma once

#include <string>

#include "cli/config.h"

namespace repl::cli {

// A path (or pattern) that both can hold, as a person would write it; empty: none. Errs on the side
// of "none" for two sets of `include` globs that only some unlikely name could satisfy together;
// what a path's literal parts decide is exact.
[[nodiscard]] std::string overlap(const TreeConfig& a, const TreeConfig& b);

}  // namespace repl::cli
