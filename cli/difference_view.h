// difference_view.h: how two trees differ, for a person: a line per path, then the sums. It shows
// what `repl diff` and a catch-up's plan have in common:
//   {"items":[{"change":"new|changed|attributes|deleted","path","type","bytes","kept":bool}],
//    "counts":{"new","changed","attributes","deleted","kept"},"bytes":n,"truncated":bool}
// Paths were escaped by the daemon.
//
// Bounds: limits::difference_lines_max lines of paths.
// Thread: stateless.
#pragma once

#include <string>

#include "cli/json.h"

namespace repl::cli {

// Paths that differ, listed or not.
[[nodiscard]] uint64_t differences(const Json& result);
// Indented lines; nothing if nothing differs.
[[nodiscard]] std::string render_differences(const Json& result);

}  // namespace repl::cli
