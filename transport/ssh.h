// ssh.h: a channel to `repl serve --stdio` on another machine, through the system's ssh client.
// Needs nothing there but sshd and the binary.
//
// ssh is executed, never through a shell. On the other side sshd gives one string to the user's
// login shell, so every word of it is quoted for a POSIX shell. No file name of the tree is ever in
// it but the serve arguments that the caller passes.
//
// What ssh printed last is part of close_reason ("Permission denied (publickey)"). The child is
// ended with the channel (end of its input, then SIGTERM, then SIGKILL) and reaped by pidfd.
//
// Thread: as Channel.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "transport/channel.h"
#include "transport/session.h"

namespace repl::transport {

class IoThread;

struct SshTarget {
  std::string user;  // empty: as ssh decides
  std::string host;
  uint16_t port = 0;                  // 0: as ssh decides
  std::string identity_file;          // empty: as ssh decides
  std::vector<std::string> ssh_args;  // more options for ssh, before the host
  std::string program = "ssh";
  std::string remote_repl = "repl";     // the binary there
  std::vector<std::string> serve_args;  // behind `serve --stdio`
};

// The argument vector; Error{invalid} if host or user could be taken for an option or are empty.
[[nodiscard]] Result<std::vector<std::string>> ssh_arguments(const SshTarget& target);
// A word for a POSIX shell. Error-free for any bytes but NUL.
[[nodiscard]] std::string shell_quote(std::string_view word);

[[nodiscard]] Result<std::shared_ptr<Channel>> make_ssh_channel(IoThread& io,
                                                                const SshTarget& target,
                                                                const SessionOptions& options);

}  // namespace repl::transport
