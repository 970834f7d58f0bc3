#include "transport/ssh.h"

#include <algorithm>

#include "transport/child_stream.h"
#include "transport/io_thread.h"

namespace repl::transport {

std::string shell_quote(std::string_view word) {
  static constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@%+=";
  if (!word.empty() && word.find_first_not_of(plain) == word.npos) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

Result<std::vector<std::string>> ssh_arguments(const SshTarget& target) {
  const auto unsafe = [](const std::string& word) {
    return word.starts_with('-') || word.find_first_of(std::string_view("\0\n\r", 3)) != word.npos;
  };
  if (target.host.empty() || unsafe(target.host) || unsafe(target.user) ||
      target.user.find('@') != std::string::npos) {
    return fail(ErrorCode::invalid,
                "\"" + target.user + "@" + target.host + "\" is no host for ssh");
  }
  const auto has_nul = [](const std::string& word) { return word.find('\0') != word.npos; };
  if (target.remote_repl.empty() || has_nul(target.remote_repl) ||
      std::ranges::any_of(target.serve_args, has_nul) ||
      std::ranges::any_of(target.ssh_args, has_nul) || has_nul(target.identity_file)) {
    return fail(ErrorCode::invalid, "an argument for ssh is empty or contains a NUL");
  }
  std::vector<std::string> arguments = {target.program};
  for (const char* option :
       {"BatchMode=yes", "EscapeChar=none", "ServerAliveInterval=5", "ServerAliveCountMax=3",
        "ForwardX11=no", "ForwardAgent=no", "ClearAllForwardings=yes", "RequestTTY=no"}) {
    arguments.insert(arguments.end(), {"-o", option});
  }
  if (target.port != 0) arguments.insert(arguments.end(), {"-p", std::to_string(target.port)});
  if (!target.identity_file.empty()) {
    arguments.insert(arguments.end(), {"-i", target.identity_file});
  }
  arguments.insert(arguments.end(), target.ssh_args.begin(), target.ssh_args.end());
  arguments.emplace_back("--");
  arguments.push_back(target.user.empty() ? target.host : target.user + "@" + target.host);
  std::string command = shell_quote(target.remote_repl) + " serve --stdio";
  for (const std::string& word : target.serve_args) command += " " + shell_quote(word);
  arguments.push_back(std::move(command));
  return arguments;
}

Result<std::shared_ptr<Channel>> make_ssh_channel(IoThread& io, const SshTarget& target,
                                                  const SessionOptions& options) {
  auto arguments = ssh_arguments(target);
  if (!arguments) return fail(std::move(arguments.error()));
  auto stream = make_child_stream(io.core(), *arguments);
  if (!stream) return fail(std::move(stream.error()));
  return make_session(io, std::move(*stream), options);
}

}  // namespace repl::transport
