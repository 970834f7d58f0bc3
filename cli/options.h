// options.h: what the command line asked for, as plain values. command_line.cc fills them; no
// command sees argv.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/config.h"
#include "cli/serve_request.h"
#include "engine/base/log.h"
#include "engine/model/filter.h"

namespace repl::cli {

struct GlobalOptions {
  std::string config_file = "/etc/repl/repl.toml";
  std::string node;         // --node; empty: by host name
  std::string state_dir;    // /var/lib/repl, or $XDG_STATE_HOME/repl for others than root
  std::string runtime_dir;  // /run/repl, or $XDG_RUNTIME_DIR/repl for others than root
  LogLevel log_level = LogLevel::info;
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

}  // namespace repl::cli
