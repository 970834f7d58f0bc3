// method_counters.h: how contents travelled to one peer, since it connected: files, and bytes.
//
// Thread: value.
#pragma once

#include <cstdint>

namespace repl::send {

struct MethodCounters {
  uint64_t metadata = 0;
  uint64_t inlined = 0;
  uint64_t copied = 0;
  uint64_t linked = 0;
  uint64_t append = 0;
  uint64_t aligned = 0;
  uint64_t rolling = 0;
  uint64_t whole = 0;
  uint64_t removed = 0;
  uint64_t literal_bytes = 0;
  uint64_t saved_bytes = 0;    // StageCopy: what the peer had already
  uint64_t rolling_bytes = 0;  // of them: found at another place
  uint64_t signature_requests = 0;
};

}  // namespace repl::send
