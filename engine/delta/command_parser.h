// command_parser.h: librsync's delta stream, parsed. Total: no input makes it read or copy out of
// bounds.
//
// Layout (librsync doc/format.md): "rs\x026", then commands: 0x00 end; 0x01..0x40 literal of that
// length; 0x41..0x44 literal, length in 1, 2, 4, 8 bytes; 0x45..0x54 copy, position and length in
// 1, 2, 4, 8 bytes each (length runs fastest). Numbers are big-endian. Anything else is reserved.
//
// Thread: value.
#pragma once

#include <string>
#include <string_view>

#include "engine/delta/rolling.h"

namespace repl::delta {

class CommandParser {
 public:
  // Tells `sink` what has become complete. `invalid` for a malformed stream.
  [[nodiscard]] Status feed(std::string_view bytes, const DeltaSink& sink);
  // True after the end command; nothing may follow it.
  [[nodiscard]] bool ended() const { return ended_; }
  // Tells a copy that was still waiting for an adjacent one.
  [[nodiscard]] Status flush(const DeltaSink& sink);

 private:
  [[nodiscard]] Status command(const DeltaSink& sink);
  [[nodiscard]] Status copy(const CopyCommand& next, const DeltaSink& sink);
  std::string head_;           // bytes of an incomplete magic or command, at most 17
  uint64_t literal_left_ = 0;  // of the literal that is being passed through
  CopyCommand held_;           // length 0: none
  bool magic_seen_ = false;
  bool ended_ = false;
};

}  // namespace repl::delta
