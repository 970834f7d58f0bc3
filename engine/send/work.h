// work.h: one key on its way to a peer: what it is now, and what the peer has under it.
//
// Thread: value.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/entry.h"
#include "engine/model/key.h"

namespace repl::send {

struct Work {
  Key key;
  Attributes attr;
  bool content_equal = false;
  bool whole = false;  // no delta and no copy: the peer refused what was sent before
  bool base_on_peer = false;
  Digest base;
  uint64_t base_size = 0;
  std::shared_ptr<const std::string> bytes;
  std::optional<Key> copy_from;
  // Large contents, which may take many cuts.
  Key base_key;  // where the peer has the base: `key` may be another name by now
  uint64_t inode = 0;
  Timestamp birth;
  std::vector<Key> followers;  // other names of its link group, to be told behind it
  int torn_reads = 0;          // in a row: it did not hold still
  CutNumber as_of;             // `attr` is from the index: as of this cut
};

}  // namespace repl::send
