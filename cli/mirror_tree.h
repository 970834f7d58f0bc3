// mirror_tree.h: the two trees of a `repl mirror`, as engine options.
//
// Thread: stateless.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "engine/base/error.h"
#include "engine/model/policy.h"
#include "engine/run/tree_options.h"

namespace repl::cli {

inline constexpr const char* mirror_source_node = "source";
inline constexpr const char* mirror_copy_node = "copy";

struct MirrorTree {
  std::string root;          // absolute, or relative to the working directory
  bool create_root = false;  // make it (not its parents) if it is missing
  bool delete_extra = false;
  Policy policy;
  bool once = false;
};

// Where a mirror remembers what it knows, so that the next run starts from there: one directory per
// pair. `pair` names it (the roots, and the file if it is one); `side` is "source" or "copy".
[[nodiscard]] std::string copy_key(const std::string& root, const std::vector<std::string>& only);
[[nodiscard]] std::string mirror_state_dir(const GlobalOptions& global, const std::string& pair,
                                           const std::string& side);
[[nodiscard]] Result<run::TreeOptions> mirror_tree_options(const MirrorTree& tree,
                                                           run::Standing standing,
                                                           const std::string& state_dir);

// What SRC names: a directory, or one file of a directory.
struct MirrorSource {
  std::string root;
  std::string only;  // the file's name as a filter pattern; empty: everything
  std::string name;  // the file's name
};
[[nodiscard]] Result<MirrorSource> resolve_source(const std::string& path);
// The directory that becomes the copy. With `only` (MirrorSource's, or none) one file is copied: it
// keeps its name, so `destination` is a directory or a path that ends in that name. On the machine
// that has the destination.
[[nodiscard]] Result<std::string> copy_root(const std::string& destination,
                                            const std::vector<std::string>& only);

}  // namespace repl::cli
