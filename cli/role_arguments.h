// role_arguments.h: the part of the command line that asks for a node's role, moves it, and brings
// a tree back to what its peers have.
//
// Thread: stateless.
#pragma once

#include <optional>

#include "cli/options.h"

namespace CLI {
class App;
}

namespace repl::cli {

// Where the options land while the command line is parsed.
struct RoleDraft {
  RoleOptions role;
  PromoteOptions promote;
  DemoteOptions demote;
  SwitchoverOptions switchover;
  CatchupOptions catchup;
  DiffOptions diff;
  PauseOptions pause;
  PauseOptions resume;
};

// `draft` outlives the parsing.
void add_role_commands(CLI::App& top, RoleDraft& draft);
// The one that was given, but for its global options; nothing if it is another command.
[[nodiscard]] std::optional<Command> chosen_role_command(const CLI::App& top,
                                                         const RoleDraft& draft,
                                                         const GlobalOptions& global);

}  // namespace repl::cli
