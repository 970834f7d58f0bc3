// broken.h: the peer broke the protocol: the connection ends.
#pragma once

#include <string>

#include "engine/base/error.h"

namespace repl::apply {

[[nodiscard]] inline std::unexpected<Error> broken(const std::string& what) {
  return fail(ErrorCode::protocol, "the peer broke the protocol: " + what, Remedy::reconnect);
}

}  // namespace repl::apply
