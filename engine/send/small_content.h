// small_content.h: a content that is read at once, stably: stat, read, stat, and again while it
// does not hold still, limits::stable_read_tries_max times.
//
// RACE: what is younger than the granularity of ctime is read twice, as content_streamer.h says.
//
// Thread: stateless. Memory: limits::inline_bytes_max, twice.
#pragma once

#include <memory>
#include <string>

#include "engine/send/content_source.h"

namespace repl::send {

struct SmallContent {
  std::unique_ptr<ContentHandle> handle;  // as it was opened for the last try
  std::string bytes;
  bool too_large = false;  // more than limits::inline_bytes_max by now: nothing was read
  bool stable = false;     // false: it never held still, `bytes` may mix several moments
};

[[nodiscard]] Result<SmallContent> read_small(ContentSource& source, const Key& key);

}  // namespace repl::send
