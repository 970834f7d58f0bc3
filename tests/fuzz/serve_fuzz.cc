// What `repl serve` is told: refused, or survives being written again. Input: what the hex digits
// stand for.
#include <cstdint>
#include <string>
#include <string_view>

#include "cli/serve_request.h"
#include "engine/base/check.h"

using namespace repl::cli;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)decode_serve_request({reinterpret_cast<const char*>(data), size});  // digits or not
  std::string hex;
  for (size_t i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[data[i] >> 4];
    hex += "0123456789abcdef"[data[i] & 15];
  }
  const auto request = decode_serve_request(hex);
  if (!request) return 0;
  const auto written = encode_serve_request(*request);
  if (!written) return 0;  // would not fit an argument
  const auto again = decode_serve_request(*written);
  REPL_CHECK(again && again->tree == request->tree && again->root == request->root &&
             again->rules.size() == request->rules.size() && again->only == request->only);
  return 0;
}
