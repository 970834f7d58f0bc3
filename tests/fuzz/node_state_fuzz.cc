// What a node has on disk of itself: refused, or survives being written again. Input: the record.
#include <cstdint>
#include <string_view>

#include "engine/base/check.h"
#include "engine/role/node_state.h"

using namespace repl::role;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto state = decode_node_state({reinterpret_cast<const char*>(data), size});
  if (!state) return 0;
  const auto again = decode_node_state(encode(*state));
  REPL_CHECK(again && *again == *state);
  (void)begin_run(*state, {});
  (void)is_ancestor(state->position, state->lineage);
  return 0;
}
