// running_tree.h: a configured tree that runs in this process: its engine, its connections, its
// control socket. Of the daemon, and of a command that works where no daemon runs.
//
// Thread: the owner's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "cli/control_server.h"
#include "cli/hooks.h"
#include "cli/options.h"
#include "cli/peering.h"
#include "cli/tree_host.h"
#include "transport/identity.h"

namespace repl::cli {

// Ended in the reverse order.
struct RunningTree {
  std::unique_ptr<TreeHost> host;
  std::unique_ptr<Peering> peering;
  std::unique_ptr<ControlServer> control;
  Status opened;  // or why not, at the start: the host goes on trying
};

// By tree. A reload begins the trees anew, but neither ends what runs for them nor forgets what
// waits.
using TreeHooks = std::map<std::string, std::unique_ptr<Hooks>>;

// None where every peer is reached over ssh.
using MaybeIdentity = std::optional<transport::Identity>;
[[nodiscard]] Result<MaybeIdentity> identity_for(const RunOptions& options);

// `options`, `hooks`, `identity` (may be null), `clock` and `log` outlive it. An error where the
// tree cannot be served at all; a tree that is served, but not open, is told by `opened`.
[[nodiscard]] Result<RunningTree> start_tree(const RunOptions& options, const TreeConfig& tree,
                                             const transport::Identity* identity, TreeHooks& hooks,
                                             const Clock& clock, Log& log);
void end_tree(RunningTree& tree);

}  // namespace repl::cli
