// names.h: the words that people and scripts see for values of the engine. Stable: JSON has them.
#pragma once

#include "engine/model/entry.h"
#include "engine/model/position.h"

namespace repl::cli {

// "primary", "secondary", "none".
[[nodiscard]] const char* role_name(Role role);
// "file", "directory", "symlink", "fifo", "socket", "device"; "unknown" where there is nothing.
[[nodiscard]] const char* type_name(FileType type);

}  // namespace repl::cli
