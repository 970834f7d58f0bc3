// diverged_compare.h: how what stands in the tree differs from a kept version.
//
// Thread: stateless. Reads both contents where their sizes are equal; no digest is trusted.
#pragma once

#include <string_view>
#include <vector>

#include "engine/apply/diverged_manifest.h"
#include "engine/base/error.h"
#include "engine/io/fs_ops.h"

namespace repl::apply::diverged {

enum class Now : uint8_t {
  absent,
  same,  // in every attribute; of a directory but for its time
  differs,
};

struct Comparison {
  Now now = Now::absent;
  std::vector<std::string_view> what;  // "content", "mode", ...; "type" alone
  io::Stat stat;                       // of what is there now
};

// `objects` is the directory of the store's objects. An item without a known version: `differs`
// without a word of what if something is there. Without an object its content is taken for that of
// the tree if the size is.
[[nodiscard]] Result<Comparison> compare(const Item& item, int objects, int dir,
                                         std::string_view name);
// With a directory that is open (the root has no name).
[[nodiscard]] Result<Comparison> compare_directory(const Item& item, int fd);

}  // namespace repl::apply::diverged
