// plain_backend.h: the operations of backend.h as system calls on the calling thread. Internal to
// engine/io: the fallback where io_uring is disabled, and what ends the operations that io_uring
// hands back.
//
// Thread: one owner; stateless.
#pragma once

#include "engine/io/backend.h"

namespace repl::io {

// Runs one operation from the start.
void run_plain(Op& op);

class PlainBackend final : public Backend {
 public:
  void run(std::span<Op> ops) override;
  [[nodiscard]] std::string_view name() const override { return "plain"; }
};

}  // namespace repl::io
