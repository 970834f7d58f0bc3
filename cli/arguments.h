// arguments.h: argv → Command. Everything about the command line's syntax and its help.
//
// Thread: stateless.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"

namespace repl::cli {

// Never fails: a usage error is a PrintAndExit with exit_usage.
[[nodiscard]] Command parse_arguments(const std::vector<std::string>& arguments);

// "[user@]host:/path", "host:path", "[2001:db8::1]:/path"; anything with a '/' before the first ':'
// is local.
[[nodiscard]] MirrorEnd parse_mirror_end(std::string_view text);

}  // namespace repl::cli
