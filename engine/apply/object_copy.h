// object_copy.h: another object that is the same: content (a reflink where there are any), every
// attribute, holes.
//
// Thread: stateless. Nothing follows a symlink or opens what is not a regular file.
#pragma once

#include <string_view>

#include "engine/base/error.h"
#include "engine/io/fs_ops.h"
#include "engine/model/entry.h"

namespace repl::apply {

// What statx(2) says of an object, and its xattrs and target: everything but its digest and its
// numbers in the tree.
struct WholeObject {
  Attributes attr;
  io::Stat stat;
};
[[nodiscard]] Result<WholeObject> read_whole(int dir, std::string_view name);

// Makes (to_dir, to), which must not be there, with the content of (from_dir, from), any type but a
// directory, and the attributes `want`, which are read back; what is not the same in the end is an
// error (`unsupported`) and gone. A file that changes while it is copied is copied again, up to
// stable_read_tries_max times; then as it was read. Not synced.
[[nodiscard]] Status copy_object(int from_dir, std::string_view from, const Attributes& want,
                                 int to_dir, std::string_view to);

}  // namespace repl::apply
