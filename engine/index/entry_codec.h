// entry_codec.h: an entry and the keys of the tables, as bytes. docs/INDEX_FORMAT.md is the layout.
//
// Decoding is total: any bytes give an entry or nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/model/entry.h"
#include "engine/model/key.h"

namespace repl {

[[nodiscard]] std::string encode_entry(const Entry& entry);
[[nodiscard]] std::optional<Entry> decode_entry(std::string_view bytes);

// Directory id big-endian, then the name: a directory's children are one range, in name order.
[[nodiscard]] std::string key_bytes(DirId dir, std::string_view name);
[[nodiscard]] inline std::string key_bytes(const Key& key) { return key_bytes(key.dir, key.name); }
// A number (inode, link, cut) big-endian, then a key.
[[nodiscard]] std::string number_key_bytes(uint64_t number, const Key& key);
[[nodiscard]] std::string number_bytes(uint64_t number);
// A digest, then a key.
[[nodiscard]] std::string digest_key_bytes(const Digest& digest, const Key& key);
[[nodiscard]] std::string digest_bytes(const Digest& digest);
[[nodiscard]] std::optional<Key> decode_key(std::string_view bytes);
[[nodiscard]] std::optional<uint64_t> decode_number(std::string_view bytes);

}  // namespace repl
