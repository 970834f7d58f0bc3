// runtime_dir.h: where the sockets of a user are who has no $XDG_RUNTIME_DIR. Anybody may make a
// directory in /tmp, so it counts only if it is this user's and nobody else's.
//
// Thread: stateless.
#pragma once

#include <string>

#include "cli/options.h"
#include "engine/base/error.h"

namespace repl::cli {

// "/tmp/repl-UID".
[[nodiscard]] std::string fallback_runtime_parent();
// A directory itself (no symlink), of this user, mode 0700. Error{not_found} if there is none.
[[nodiscard]] Status check_private_dir(const std::string& path);
// An error if the runtime directory is below a fallback_runtime_parent() that is not ours.
[[nodiscard]] Status check_runtime_dir(const GlobalOptions& global);
// Makes it, too.
[[nodiscard]] Status make_runtime_dir(const GlobalOptions& global);

}  // namespace repl::cli
