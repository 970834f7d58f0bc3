// reigns.h: reigns that a test can tell apart at a glance.
#pragma once

#include <cstdint>

#include "engine/base/ids.h"

namespace repl::role {

inline Reign reign(uint64_t n) { return Reign{{.high = n, .low = n}}; }

}  // namespace repl::role
