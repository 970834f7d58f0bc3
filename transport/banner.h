// banner.h: the first line of a connection in each direction: "repl/1 <software version>\n".
// Readable, so that `nc` and a person see who answers, and so that text printed by a login shell is
// recognised as what it is.
//
// Thread: pure, but for BannerReader: one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace repl::transport {

inline constexpr int wire_version = 1;
inline constexpr size_t banner_bytes_max = 256;

[[nodiscard]] std::string make_banner();

class BannerReader {
 public:
  // Eats the banner from the front of `bytes`. True once it was read; Error{protocol} if it is not
  // ours, or Error{unsupported} if it is of another version.
  [[nodiscard]] Result<bool> feed(std::string_view& bytes);

 private:
  std::string line_;
};

}  // namespace repl::transport
