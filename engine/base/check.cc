#include "engine/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace repl {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "repl: invariant broken: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace repl
