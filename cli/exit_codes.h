// exit_codes.h: what repl's exit status means. Stable: scripts and cluster managers branch on these
// numbers; repl(1) lists them.
#pragma once

namespace repl::cli {

enum ExitCode : int {
  exit_ok = 0,
  exit_failed = 1,             // the operation failed, or `verify` found a difference
  exit_usage = 2,              // command line or configuration is wrong; nothing was done
  exit_held = 3,               // the tree is held: a person must decide (`repl status` says what)
  exit_peer_away = 4,          // a peer that is needed is not connected
  exit_timeout = 5,            // --timeout passed first
  exit_equal_except_held = 6,  // `verify`: equal, but for keys that are held
  exit_not_running = 7,        // no daemon answers for the tree
  exit_refused = 8,            // the caller may not do this (control socket, permissions)
};

}  // namespace repl::cli
