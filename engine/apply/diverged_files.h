// diverged_files.h: names and files of a diverged store. Internal to the diverged_*.cc.
//
// Thread: stateless.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/apply/diverged_manifest.h"
#include "engine/base/error.h"

namespace repl::apply::diverged {

inline constexpr std::string_view stores_name = "diverged";
inline constexpr std::string_view objects_name = "objects";
inline constexpr std::string_view manifest_name = "manifest";

// YYYYMMDDTHHMMSSZ, with "-2" and so on.
[[nodiscard]] std::string id_of(int64_t unix_seconds);
[[nodiscard]] bool is_store_id(std::string_view name);
[[nodiscard]] std::string object_name(uint64_t number);
[[nodiscard]] std::optional<uint64_t> number_of(std::string_view object);

[[nodiscard]] Result<std::string> read_file(int fd);
// Of a store that is not open; without a file it is empty.
[[nodiscard]] Result<Manifest> read_manifest(int stores, std::string_view id);

// Both in `dir`: `from` is `to` now, whatever that was is gone.
[[nodiscard]] Status place_over(int dir, std::string_view from, std::string_view to);

}  // namespace repl::apply::diverged
