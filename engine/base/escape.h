// escape.h: file names hold any byte but '/' and NUL; terminals, logs and JSON do not.
#pragma once

#include <string>
#include <string_view>

namespace repl {

// Printable and reversible: control bytes, DEL, backslash and invalid UTF-8 become \xHH (backslash:
// \\).
[[nodiscard]] std::string escape(std::string_view bytes);

}  // namespace repl
