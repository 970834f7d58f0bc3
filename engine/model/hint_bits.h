// hint_bits.h: what a kernel event suggests about a key. Hints only: truth is what statx and read
// say afterwards.
#pragma once

#include <cstdint>

namespace repl {

// What may have happened to the key. Several bits at once are common (fanotify merges).
enum HintBits : uint32_t {
  hint_created = 1,   // a name appeared (create, link, move in)
  hint_removed = 2,   // a name went (unlink, rmdir, move out)
  hint_modified = 4,  // content changed; the writer may still have it open
  hint_closed = 8,    // a descriptor that could write was closed
  hint_attributes = 16,
  hint_directory = 32,  // the child is a directory
  hint_self = 64,       // the directory `dir` itself (its own attributes), `name` is empty
  hint_moved = 128,     // part of a rename
  hint_unsent = 256,    // ours, not the kernel's: a peer lacks it, whatever its stat says
};

}  // namespace repl
