// start_program.h: another program as a child process; never through a shell.
//
// The child has default signals, none of them blocked, a process group of its own (^C is for us,
// who then end it in order), and no descriptor of ours but the three that it is given. The caller
// reaps it.
//
// Thread: any. posix_spawn(3); posix_spawn_file_actions_addclosefrom_np: glibc 2.34.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "engine/base/error.h"

namespace repl::io {

struct Program {
  // The first is the program: an absolute path as it is, any other name is looked up in PATH.
  const std::vector<std::string>& arguments;
  const std::vector<std::string>* environment = nullptr;  // "NAME=value"; null: ours
  const char* directory = nullptr;                        // to begin in; null: ours
  int in = -1;
  int out = -1;  // not 0
  int err = -1;  // neither 0 nor 1
};

// An error, also where the program cannot be executed.
[[nodiscard]] Result<pid_t> start_program(const Program& program);

}  // namespace repl::io
