// hook_program.h: one run of a program of the administrator's: started, heard, and ended at its
// time limit.
//
// It is executed as it is, never through a shell, in "/", with its input empty and output and
// errors in one pipe. Once it has ended, what it started and left running is let alone, and no
// longer heard. At the time limit its whole process group gets SIGTERM; what then still runs, or
// still holds the pipe, after a grace gets SIGKILL.
//
// Thread: blocks the caller. Bounds: limits::hook_line_bytes_max of a line, hook_lines_max lines,
// hook_tail_lines_max kept.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/limits.h"

namespace repl::cli {

struct HookProgram {
  std::vector<std::string> arguments;    // the first an absolute path
  std::vector<std::string> environment;  // all of it; "NAME=value"
  std::chrono::milliseconds timeout{};
  std::chrono::milliseconds grace{limits::hook_grace_ms};
};

struct HookResult {
  bool ran = false;            // false without `error`: there is none to run
  std::optional<Error> error;  // why it did not run
  int exit_status = 0;         // 128 and the signal, if one ended it
  bool timed_out = false;      // and was ended for it
  bool stopped = false;        // it was ended because repl ends
  std::string output_tail;     // its last lines, escaped, "; " between them

  [[nodiscard]] bool failed() const { return error || timed_out || stopped || exit_status != 0; }
  // "exited with status 3: its last words".
  [[nodiscard]] std::string describe() const;
};

// May root run it? A regular file that can be executed, and that nobody can change, or replace by
// another one, but root and the user that runs repl.
[[nodiscard]] Status check_hook_program(const std::string& path);

// `line`: each line of its output, escaped. `stop_fd`: readable when it is to be ended early.
[[nodiscard]] HookResult run_hook_program(const HookProgram& program, const Clock& clock,
                                          int stop_fd,
                                          const std::function<void(std::string_view)>& line);

}  // namespace repl::cli
