// compression.h: how the bytes of one direction are packed, from nothing to slow and small. Each
// step of `gears` was chosen by measuring text with zstd 1.5.4 (docs/ARCHITECTURE.md, "Compression
// follows the link"): negative levels are hardly faster than level 1, levels above 9 hardly
// smaller.
//
// Memory of the compressor: 3 MiB with the small window; with the large one 69 MiB at level 1, 70
// at 3, 72 at 6, 81 at 9. Of the peer's decompressor: the window and 0.5 MiB. Both are given back
// when the connection rests (FrameWriter::rest).
#pragma once

#include <array>
#include <cstddef>

#include "engine/base/limits.h"

namespace repl::transport {

struct Compression {
  int level = 0;  // 0: bytes leave as they are
  int window_log = limits::zstd_window_log_initial;
  bool long_distance = false;  // repeats are found in the whole window, at every level

  bool operator==(const Compression&) const = default;
};

struct Gear {
  Compression compression;
  double cost;  // processor time for a byte of text, of that at level 1
};

inline constexpr std::array gears = {
    Gear{{}, 0.05},
    Gear{{1, limits::zstd_window_log_initial, false}, 1},
    Gear{{1, limits::zstd_window_log_max, true}, 1.2},
    Gear{{3, limits::zstd_window_log_max, true}, 1.5},
    Gear{{6, limits::zstd_window_log_max, true}, 3},
    Gear{{9, limits::zstd_window_log_max, true}, 5.5},
};
inline constexpr size_t gear_initial = 1;

}  // namespace repl::transport
