#include "cli/command_line.h"

int main(int argc, char** argv) { return repl::cli::run(argc, argv); }
