// check.h: invariants, checked in release builds too. A failed CHECK is a bug in repl, never bad
// input.
#pragma once

namespace repl {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}

#define REPL_CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::repl::check_failed(#expression, __FILE__, __LINE__))
