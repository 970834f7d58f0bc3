// own_daemon.h: where no daemon runs for a tree, one of this process does, as long as a command
// lasts: the same engine, under the same lock, with the same hooks. So every command works in the
// same way with a daemon and without.
//
// Thread: the owner's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/options.h"

namespace repl::cli {

class OwnDaemon {
 public:
  // For each of `trees` that no daemon answers for and that this node is configured to have: starts
  // it, says so, and waits until it is scanned and its peers have been heard, or cannot be
  // (limits::own_daemon_contact_ms_max). A tree that cannot be opened (another process has its
  // state) is told, and left alone.
  OwnDaemon(const GlobalOptions& global, const std::vector<std::string>& trees);
  // What the hooks still run is waited for; then the trees end as a daemon's do at SIGTERM.
  ~OwnDaemon();
  OwnDaemon(const OwnDaemon&) = delete;
  OwnDaemon& operator=(const OwnDaemon&) = delete;

 private:
  struct Running;
  std::unique_ptr<Running> running_;  // null: nothing was started
};

}  // namespace repl::cli
