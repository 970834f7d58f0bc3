// json.h: nlohmann/json for the .cc files that need it: total parsing, and printing that cannot
// throw.
//
// Thread: stateless.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace repl::cli {

using Json = nlohmann::json;

// A discarded value for malformed text (no exception). Nesting is bounded by the caller's bound on
// the length.
[[nodiscard]] inline Json parse_json(std::string_view text) {
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}
// One line; bytes that are no UTF-8 become U+FFFD (names of files were escaped before they got
// here).
[[nodiscard]] inline std::string print_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}
// The member if it is there and of this type, else `otherwise`.
[[nodiscard]] inline std::string get_text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}
[[nodiscard]] inline bool get_bool(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}
[[nodiscard]] inline double get_real(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}
// The member if it is an object or an array, else an empty one of neither.
[[nodiscard]] inline const Json& get_member(const Json& object, const char* key) {
  static const Json none = Json::array();
  const auto found = object.find(key);
  return found != object.end() && found->is_structured() ? *found : none;
}
// Whole numbers that fit; any other is as if it were not there (converting a double is undefined
// beyond the type's range).
template <typename Number>
[[nodiscard]] Number get_number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return {};
  const auto fitting = [](auto value) {
    return std::in_range<Number>(value) ? static_cast<Number>(value) : Number{};
  };
  return found->is_number_unsigned() ? fitting(found->template get<uint64_t>())
                                     : fitting(found->template get<int64_t>());
}

}  // namespace repl::cli
