// What the index has on disk: any bytes give an entry, a key, a directory, or nothing; what was
// read survives being written again. Input: one record.
#include <cstdint>
#include <string_view>

#include "engine/base/check.h"
#include "engine/index/dir_tree.h"
#include "engine/index/entry_codec.h"

using namespace repl;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto entry = decode_entry(bytes)) {
    const auto again = decode_entry(encode_entry(*entry));
    REPL_CHECK(again && again->attr == entry->attr && again->local == entry->local &&
               again->cut.value == entry->cut.value);
  }
  if (const auto key = decode_key(bytes)) REPL_CHECK(key_bytes(*key) == bytes);
  if (const auto number = decode_number(bytes)) REPL_CHECK(number_bytes(*number) == bytes);
  DirNode node;
  if (decode_dir(bytes, node)) {
    DirNode again;
    REPL_CHECK(decode_dir(encode_dir(node), again) && again.name == node.name);
  }
  return 0;
}
