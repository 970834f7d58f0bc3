// watch_limit.h: a kernel limit on watching, as an error that says which sysctl to raise, from
// what, to what.
//
// Each of them exists twice: fs.* for the system, user.* for the user namespace; the smaller one is
// named.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/error.h"

namespace repl::watch {

enum class WatchLimit : uint8_t {
  inotify_watches,
  inotify_instances,
  fanotify_marks,
  fanotify_groups
};

// ErrorCode::limit, Remedy::hold.
[[nodiscard]] Error watch_limit_error(WatchLimit limit);

// The value of a sysctl ("fs.inotify.max_user_watches"); 0 if it cannot be read.
[[nodiscard]] uint64_t read_sysctl(std::string_view name);

}  // namespace repl::watch
