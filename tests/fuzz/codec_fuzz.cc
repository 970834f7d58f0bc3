// Any payload either is refused or survives a second round trip unchanged. Input: kind, u8 share of
// the raw part in 1/255, then body and raw.
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/check.h"
#include "transport/codec.h"

using repl::transport::decode_message;
using repl::transport::encode_message;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t raw_bytes = rest.size() * data[1] / 255;
  const auto message = decode_message(data[0], rest.substr(0, rest.size() - raw_bytes),
                                      rest.substr(rest.size() - raw_bytes));
  if (!message) return 0;
  const auto payload = encode_message(*message);
  REPL_CHECK(payload.has_value());
  std::string raw;
  for (const std::string& piece : payload->raw) raw += piece;
  const auto again = decode_message(payload->kind, payload->body, raw);
  REPL_CHECK(again.has_value());
  const auto second = encode_message(*again);
  REPL_CHECK(second.has_value() && second->body == payload->body);
  return 0;
}
