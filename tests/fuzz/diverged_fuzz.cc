// What a diverged store says of itself: whatever can be made out of it survives being written
// again. Input: the manifest.
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/apply/diverged_manifest.h"
#include "engine/base/check.h"

using namespace repl::apply::diverged;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Manifest manifest = decode_manifest({reinterpret_cast<const char*>(data), size});
  REPL_CHECK(manifest.whole_bytes <= size);
  std::string again;
  const auto add = [&](const std::string& record) { append_frame(again, record, again.size()); };
  if (manifest.about) add(encode_about(*manifest.about));
  for (const Item& item : manifest.items) add(encode_item(item));
  if (manifest.finished) add(encode_finish());
  const Manifest read = decode_manifest(again);
  REPL_CHECK(read.about == manifest.about && read.items == manifest.items &&
             read.finished == manifest.finished && read.damaged_frames == 0 && !read.torn_tail);
  return 0;
}
