// A line on the control socket, either way: refused, or survives being written again. Input: the
// line.
#include <cstdint>
#include <string_view>

#include "cli/control_protocol.h"
#include "engine/base/check.h"

using namespace repl::cli;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  if (const auto request = decode_request(line)) {
    const auto again = decode_request(encode(*request));
    REPL_CHECK(again && again->command == request->command && again->tree == request->tree &&
               again->options == request->options);
    (void)is_read_only(*request);
  }
  if (const auto reply = decode_reply(line)) {
    const auto again = decode_reply(encode(*reply));
    REPL_CHECK(again && again->index() == reply->index());
  }
  return 0;
}
