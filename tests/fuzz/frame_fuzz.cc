// Any bytes behind the banner, in two pieces: refused or taken apart, within bounds. Input: u8 cut,
// then the stream.
#include <cstdint>
#include <string_view>

#include "engine/base/check.h"
#include "transport/banner.h"
#include "transport/frame.h"

using namespace repl;
using namespace repl::transport;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  FrameReader reader(
      [](const FrameHeader& header, std::string_view body, std::string_view raw) -> Status {
        REPL_CHECK(body.size() + raw.size() == header.payload_bytes);
        REPL_CHECK(header.payload_bytes <= payload_bytes_max);
        (void)decode_message(header.kind, body, raw);
        return {};
      });
  const size_t cut = stream.size() * data[0] / 255;
  if (reader.feed(stream.substr(0, cut))) (void)reader.feed(stream.substr(cut));
  BannerReader banner;
  std::string_view text = stream;
  (void)banner.feed(text);
  return 0;
}
