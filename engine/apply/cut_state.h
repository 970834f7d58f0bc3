// cut_state.h: one cut while it is received: its records, and where what was prepared for them
// lies.
//
// Thread: one owner.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/apply/byte_ranges.h"
#include "engine/base/fd.h"
#include "engine/io/fs_ops.h"
#include "engine/model/message.h"

namespace repl::apply {

// A name in the staging area (or in a directory that is being built there).
struct Slot {
  int dir = -1;
  std::string name;
  [[nodiscard]] bool is_set() const { return dir >= 0; }
};

// How a content that was built from another differs from it, in place.
struct Difference {
  Key key;  // of the base, when the content was built
  Digest base;
  uint64_t base_inode = 0;
  uint64_t base_size = 0;
  ByteRanges changed;  // what lies past the base's end included
};

enum class Source : uint8_t {
  metadata,  // the object is there and stays; only its attributes change
  prepared,  // ready in `slot`
  in_place,  // ready under its final name inside a new directory
  stage,     // a content of the ContentBuilder
  append,    // the object stays, and what `slot` holds is appended to it
  copy,      // of another key, as it is before this cut
  link,      // another name of `from`, an earlier item
  moved,     // a directory that the index knows elsewhere
};

struct Item {
  Key key;
  Attributes attr;  // owner mapped to this node; content known once prepared
  Source source = Source::metadata;
  Slot slot;
  Key from;  // copy, link; moved: where it was
  StageId stage;
  Fd fd;          // of a prepared regular file, while few are open
  io::Stat stat;  // of what was prepared
  std::vector<Digest> blocks;
  std::optional<Difference> difference;  // from what its key held; append: always
  bool dropped = false;                  // refused, held or aborted: the key stays as it is
  bool published = false;
};

struct CutState {
  CutBegin begin;
  std::vector<Item> items;  // in the order of the records
  std::vector<Remove> removes;
  std::unordered_map<Key, size_t> puts;    // → items
  std::unordered_map<DirId, size_t> dirs;  // directories put → items
  std::unordered_set<Key> removed;
  std::unordered_set<DirId> held_dirs;  // keys below are held with them
  std::unordered_set<StageId> stages;   // used
  uint64_t records = 0;
  bool open = false;
  bool whole = false;  // its end came, and it was checked
};

}  // namespace repl::apply
