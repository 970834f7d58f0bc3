// hint_sink.h: puts hints into a Drained, one for a run of events on one key.
//
// inotify reports every append of a writer by itself (2,000 writes, 2,000 events); their masks add
// up to the same hint. Only neighbours are merged: it costs one comparison and needs no table.
#pragma once

#include <string_view>

#include "engine/watch/watcher.h"

namespace repl::watch {

inline void append_hint(Drained& out, uint32_t bits, DirId dir, std::string_view name,
                        uint64_t inode) {
  if (!out.hints.empty()) {
    Hint& last = out.hints.back();
    if (last.dir == dir && last.inode == inode && last.name == name) {
      last.bits |= bits;
      return;
    }
  }
  out.hints.push_back(Hint{bits, dir, std::string(name), inode});
}

}  // namespace repl::watch
