// exit_codes.h: what repl's exit status means. Stable: scripts and cluster managers branch on these
// numbers; repl(1) lists them.
#pragma once

#include <algorithm>
#include <array>

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

// The worse of two trees' statuses is that of a command: what says less about the tree is worse.
[[nodiscard]] constexpr int worse(int a, int b) {
  constexpr std::array<int, 9> ascending = {
      exit_ok,        exit_equal_except_held, exit_held,
      exit_peer_away, exit_timeout,           exit_failed,
      exit_usage,     exit_refused,           exit_not_running};
  const auto rank = [&](int exit) {
    return std::find(ascending.begin(), ascending.end(), exit) - ascending.begin();
  };
  return rank(b) > rank(a) ? b : a;
}

}  // namespace repl::cli
