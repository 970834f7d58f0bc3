// replace_file.h: a file that a person named is there whole, new or old, whatever happens.
//
// Errors: invalid (something other than a file has that name: it is left alone), and those of the
// system. Thread: blocks the caller.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace repl::cli {

// Whether replace_file() can do it, for a command that would find out only after long work.
[[nodiscard]] Status can_replace_file(const std::string& path);
// Written beside it, durable, then renamed over it.
[[nodiscard]] Status replace_file(const std::string& path, std::string_view text, mode_t mode);

}  // namespace repl::cli
