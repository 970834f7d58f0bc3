// command_line.h: argv → one command → exit code.
#pragma once

namespace repl::cli {
int run(int argc, char** argv);
}
