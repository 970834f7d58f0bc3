// xattrs.h: extended attributes by descriptor, O_PATH descriptors included. Internal to engine/io.
//
// The f*xattr(2) calls refuse O_PATH descriptors (EBADF); for these the calls by path are made on
// /proc/self/fd/N: the magic link leads to the very inode that is held, and is not followed further
// when that is a symlink.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace repl::io {

struct XattrView {
  std::string_view name;
  std::string_view value;
};

// The attributes of a canonical encoding (views into it). `invalid` when it is not canonical:
// malformed, not strictly sorted, an impossible name or value, or an attribute that is never
// replicated.
[[nodiscard]] Result<std::vector<XattrView>> parse_xattrs(std::string_view canonical);

[[nodiscard]] std::string fd_path(int fd);
[[nodiscard]] bool is_path_fd(int fd);

[[nodiscard]] Status set_xattr(int fd, bool by_path, std::string_view name, std::string_view value);
// One that is not there is no error.
[[nodiscard]] Status remove_xattr(int fd, bool by_path, std::string_view name);

}  // namespace repl::io
