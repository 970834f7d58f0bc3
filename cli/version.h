// version.h: of this program.
#pragma once

namespace repl::cli {
inline constexpr const char* version = "0.1.0";
}
