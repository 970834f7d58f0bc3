// diverged_manifest.h: what a diverged store says of itself and of what is in it, as bytes.
//
// The manifest is a file that only grows: frames, each a magic number, a length and a checksum
// before its record (docs/INDEX_FORMAT.md is the layout). A crash leaves a torn tail, which is
// ignored. Behind a damaged frame the next whole one is looked for, so that what follows is not
// lost; how many were lost is told.
//
// Thread: stateless. Decoding is total: any bytes give what can be made out of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/ids.h"
#include "engine/model/entry.h"
#include "engine/model/key.h"

namespace repl::apply::diverged {

// Why this store was made, and against what.
struct About {
  std::string tree;
  std::string node;       // whose versions are kept
  std::string from_peer;  // whose versions replaced them
  std::string reason;     // a sentence for a person
  Reign common_reign;     // the last position that both had; unset: none
  CutNumber common_cut;
  int64_t unix_seconds = 0;  // when it was begun
  bool operator==(const About&) const = default;
};

// What was done here since the common position. Numbers are frozen: they are on disk.
enum class Change : uint8_t {
  changed = 1,    // the other side has another version
  made = 2,       // the other side has nothing there
  deleted = 3,    // gone here, the other side still has it
  displaced = 4,  // later: it was in the tree when a kept version was put back there
};

// One version that lost.
struct Item {
  uint64_t number = 0;  // within its store, from 1; the name of its object, in hex
  Change change = Change::changed;
  std::string path;  // below the root, any bytes; empty: the root
  Key key;
  // What was here, complete with extended attributes; of what was deleted here only if it was
  // known. `dir` of a directory that nobody numbered is the root's.
  std::optional<Attributes> attr;
  // Of the object in the tree when it had been kept; items of one inode and birth were names of
  // one file. Unset for what was deleted here.
  LocalStat local;
  bool has_object = false;  // its content is in the store
  bool operator==(const Item&) const = default;
};

struct Manifest {
  std::optional<About> about;
  std::vector<Item> items;  // by number
  bool finished = false;    // nothing is added by a catch-up any more
  // Numbers of items that were taken out: their objects are nobody's.
  std::vector<uint64_t> dropped;
  uint64_t next_number = 1;
  size_t damaged_frames = 0;  // places that are no frame and have a frame behind them
  size_t whole_bytes = 0;     // up to the end of the last whole frame; what follows is a torn tail
  bool torn_tail = false;
};

[[nodiscard]] std::string encode_about(const About& about);
[[nodiscard]] std::string encode_item(const Item& item);  // a later one of a number replaces it
[[nodiscard]] std::string encode_drop(uint64_t number);
[[nodiscard]] std::string encode_finish();
// A record as it stands at `offset` of the file: its place is part of the checksum, so that a frame
// that is the content of another one is none.
void append_frame(std::string& out, std::string_view record, uint64_t offset);

[[nodiscard]] Manifest decode_manifest(std::string_view bytes);

}  // namespace repl::apply::diverged
