// asked.h: a request to a tree whose answer comes from the engine's thread, or never: then that is
// the answer.
#pragma once

#include <utility>

#include "cli/control_server.h"
#include "cli/exit_codes.h"

namespace repl::cli {

class Asked {
 public:
  explicit Asked(Reply to) : reply(std::move(to)) {}
  ~Asked() {  // nothing where an answer was given
    reply.failed("the tree was closed before it could answer; ask again", exit_failed);
  }
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;

  Reply reply;
};

}  // namespace repl::cli
