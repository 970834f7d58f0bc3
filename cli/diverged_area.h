// diverged_area.h: the diverged stores of a configured tree, whether or not its daemon runs, and
// which of their items somebody means.
//
// Thread: blocks the caller.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "engine/apply/diverged_view.h"
#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/io/guard_mount.h"

namespace repl::cli {

struct DivergedArea {
  std::string root;     // of the tree
  std::string staging;  // its staging area
  // Of a guarded tree: its root may be read-only by its path.
  std::optional<io::Beneath> beneath;
  Fd area;  // not valid: the tree was never run here, so that nothing diverged
  std::vector<apply::diverged::View> stores;  // the oldest first; only --id where that is given
};
// `invalid` for what is wrong with the configuration or the command line.
[[nodiscard]] Result<DivergedArea> open_diverged_area(const DivergedOptions& options);

// The root, to write to; absolute paths otherwise.
[[nodiscard]] Result<Fd> open_tree_root(const DivergedArea& area);

// Where the kept object of an item is.
[[nodiscard]] std::string kept_file(const DivergedArea& area, const std::string& id,
                                    uint64_t number);

// What of a store the command line means: everything; the item of that number; or what is at or
// below one of the paths. These may be relative to the root, or begin with it, and be written as
// bytes or as `list` shows them.
[[nodiscard]] std::vector<apply::diverged::Item> select_items(const DivergedOptions& options,
                                                              const std::string& root,
                                                              const apply::diverged::View& store);
// Of several versions of one path the last that was kept; what a restore displaced only where its
// number is asked for.
[[nodiscard]] std::vector<apply::diverged::Item> latest_versions(
    const DivergedOptions& options, std::vector<apply::diverged::Item> items);

// For the commands that change something: the one store they mean. `invalid` if that is not clear,
// not_found if none has it.
[[nodiscard]] Result<const apply::diverged::View*> select_store(const DivergedOptions& options,
                                                                const DivergedArea& area);

// `repl diverged restore` and `discard`.
[[nodiscard]] int restore_diverged(const DivergedOptions& options, const DivergedArea& area);
[[nodiscard]] int discard_diverged(const DivergedOptions& options, const DivergedArea& area);

}  // namespace repl::cli
