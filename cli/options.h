// options.h: what the command line asked for, as plain values. command_line.cc fills them; no
// command sees argv.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cli/config.h"
#include "cli/serve_request.h"
#include "engine/base/log.h"
#include "engine/model/filter.h"

namespace repl::cli {

struct GlobalOptions {
  std::string config_file = "/etc/repl/repl.toml";
  std::string node;                   // --node; empty: by host name
  std::string state_dir;              // /var/lib/repl, or $XDG_STATE_HOME/repl for others than root
  std::string runtime_dir;            // /run/repl, or $XDG_RUNTIME_DIR/repl for others than root
  std::optional<LogLevel> log_level;  // --log-level; each command has its own default
};

// repl run TREE...: the configuration was read and is valid, every tree exists and this node
// carries it.
struct RunOptions {
  GlobalOptions global;
  Config config;
  std::string node;                // this node
  std::vector<std::string> trees;  // at least one
};

// One end of `repl mirror`.
struct MirrorEnd {
  std::string user;  // remote only; may be empty
  std::string host;  // empty: local
  std::string path;  // local: as given; remote: relative paths start at the login directory
};

struct MirrorOptions {
  GlobalOptions global;
  std::string source;  // local directory, or one file
  MirrorEnd destination;
  bool once = false;          // end when equal, instead of staying
  bool delete_extra = false;  // --delete: what the source does not have goes
  std::vector<FilterRule>
      rules;  // --include, --exclude, --filter, --exclude-from... in their order
  std::string remote_repl = "repl";         // --remote-repl: the command on the other side
  SshSettings ssh;                          // --ssh-port, --ssh-identity, --ssh-option
  uint64_t bandwidth_bytes_per_second = 0;  // --bwlimit; 0: no limit
  bool json = false;                        // progress and result as JSON lines on stdout
  bool quiet = false;                       // only errors
};

// repl serve --stdio: the far end of an ssh connection; speaks the protocol on stdin and stdout,
// logs to stderr.
struct ServeOptions {
  GlobalOptions global;
  ServeRequest request;  // --session HEX
};

// The commands that ask a running daemon, or only look.
struct StatusOptions {
  GlobalOptions global;
  std::vector<std::string> trees;  // none: all
  bool json = false;
  bool watch = false;
};
struct VerifyOptions {
  GlobalOptions global;
  std::vector<std::string> trees;  // none: all
  bool full = false;
  bool sha256 = false;
  bool json = false;
};
struct WaitOptions {
  GlobalOptions global;
  std::string tree;
  std::string level = "durable";          // "received", "applied"
  std::optional<double> timeout_seconds;  // none: for ever
  bool wait_for_peers = false;  // a peer that is away is waited for, instead of exit_peer_away
};
struct ApproveOptions {
  GlobalOptions global;
  std::string tree;
};
// Who a node is, and what moves that.
struct RoleOptions {
  GlobalOptions global;
  std::string tree;
  bool json = false;
};
struct PromoteOptions {
  GlobalOptions global;
  std::vector<std::string> trees;  // none: all
  bool force = false;
  bool dry_run = false;
  bool json = false;
};
struct DemoteOptions {
  GlobalOptions global;
  std::vector<std::string> trees;  // none: all
  bool dry_run = false;
  bool json = false;
};
struct SwitchoverOptions {
  GlobalOptions global;
  std::vector<std::string> trees;  // none: all that `to` has, too
  std::string to;
  double timeout_seconds = 60;
  bool dry_run = false;
  bool unguarded = false;
  bool json = false;
};
struct CatchupOptions {
  GlobalOptions global;
  std::vector<std::string> trees;  // none: all that `from` has, too
  std::string from;
  bool dry_run = false;
  bool yes = false;
  bool json = false;
  std::string certificate;  // a file; empty: none
};
struct DiffOptions {
  GlobalOptions global;
  std::string tree;
  std::string peer;  // empty: the daemon's choice
  bool json = false;
};
// `repl pause` and `repl resume`.
struct PauseOptions {
  GlobalOptions global;
  std::vector<std::string> trees;  // none: all
  bool resume = false;
  bool json = false;
};
struct DoctorOptions {
  GlobalOptions global;
  bool json = false;
};
struct ConfigCheckOptions {
  GlobalOptions global;
};
struct KeygenOptions {
  GlobalOptions global;
};
struct FingerprintOptions {
  GlobalOptions global;
};
enum class DivergedAction : uint8_t { list, diff, restore, discard };
struct DivergedOptions {
  GlobalOptions global;
  DivergedAction action = DivergedAction::list;
  std::string tree;
  std::vector<std::string> paths;
  std::optional<uint64_t> item;  // --item: by its number in the store
  std::string id;                // --id: only this store
  std::string to;                // --to DIR: restored there, not into the tree
  bool all = false;
  bool replace = false;
  bool yes = false;
  bool json = false;
};
// `repl run` before the configuration was read.
struct RunRequest {
  GlobalOptions global;
  std::vector<std::string> trees;
};
// Nothing left to do: --help, --version (exit 0) or a usage error.
struct PrintAndExit {
  std::string text;
  int exit = 0;
};

using Command = std::variant<PrintAndExit, MirrorOptions, RunRequest, ServeOptions, StatusOptions,
                             VerifyOptions, WaitOptions, ApproveOptions, RoleOptions,
                             PromoteOptions, DemoteOptions, SwitchoverOptions, CatchupOptions,
                             DiffOptions, PauseOptions, DivergedOptions, DoctorOptions,
                             ConfigCheckOptions, KeygenOptions, FingerprintOptions>;

// This node's private key and certificate.
[[nodiscard]] inline std::string key_file(const GlobalOptions& global) {
  return global.state_dir + "/identity.key";
}
[[nodiscard]] inline std::string certificate_file(const GlobalOptions& global) {
  return global.state_dir + "/identity.crt";
}

}  // namespace repl::cli
