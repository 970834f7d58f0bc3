// key.h: the one currency. The kernel, the index and the wire all say (directory id, name).
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>

#include "engine/base/ids.h"
#include "engine/base/limits.h"

namespace repl {

// A name that may stand in a directory: 1..255 bytes, no '/', no NUL, neither "." nor "..".
// Everything else is legal (newline, escape, invalid UTF-8).
[[nodiscard]] inline bool is_legal_name(std::string_view name) {
  return !name.empty() && name.size() <= limits::name_bytes_max && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

// The root itself is {DirId{}, ""}: its own attributes are the record of that key.
struct Key {
  DirId dir;
  std::string name;
  auto operator<=>(const Key&) const = default;
  [[nodiscard]] bool is_root() const { return !dir.is_set() && name.empty(); }
};
inline const Key root_key{};

}  // namespace repl

template <>
struct std::hash<repl::Key> {
  size_t operator()(const repl::Key& key) const noexcept {
    return std::hash<std::string_view>{}(key.name) ^ std::hash<repl::DirId>{}(key.dir);
  }
};
