#include "engine/io/start_program.h"

#include <spawn.h>
#include <unistd.h>

#include <csignal>

#include "engine/base/escape.h"

namespace repl::io {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<pid_t> start_program(const Program& program) {
  const std::vector<char*> argv = pointers(program.arguments);
  std::vector<char*> environment;
  if (program.environment != nullptr) environment = pointers(*program.environment);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, program.in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, program.out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, program.err, STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  if (program.directory != nullptr)
    posix_spawn_file_actions_addchdir_np(&actions, program.directory);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  sigset_t set;
  sigfillset(&set);
  posix_spawnattr_setsigdefault(&attributes, &set);
  sigemptyset(&set);
  posix_spawnattr_setsigmask(&attributes, &set);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t pid = -1;
  const auto spawn = program.arguments[0].starts_with('/') ? ::posix_spawn : ::posix_spawnp;
  const int error = spawn(&pid, argv[0], &actions, &attributes, argv.data(),
                          program.environment != nullptr ? environment.data() : environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return fail(sys_error("run " + escape(program.arguments[0]), error));
  return pid;
}

}  // namespace repl::io
