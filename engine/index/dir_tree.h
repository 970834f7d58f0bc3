// dir_tree.h: directory id → where it hangs, and the sums over what is in it.
//
// Sums of a directory itself are kept at once; that its own hash is part of its parent's sums is
// made true later, for all directories that changed at once and from the deepest up, by resolve().
// Each directory remembers what its parent's sums hold for it, so that is exact whatever happened
// in between.
//
// Thread: the index's owner. References stay valid until the directory is erased or trim() is
// called.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/index/store.h"
#include "engine/model/hash.h"
#include "engine/model/key.h"

namespace repl {

struct DirNode {
  DirId parent;  // unset for the root, and for a detached directory
  std::string name;
  Fingerprint content;  // sums over the children
  Fingerprint identity;
  Bits128 content_in_parent;  // what the parent's sums hold for this directory
  Bits128 identity_in_parent;
  uint64_t children = 0;
  uint64_t unknown = 0;
  uint64_t unknown_in_parent = 0;
  bool stale = false;    // resolve() has to bring the parent up to date
  bool changed = false;  // write() has to store it
};

[[nodiscard]] std::string encode_dir(const DirNode& node);
[[nodiscard]] bool decode_dir(std::string_view bytes, DirNode& node);

class DirTree {
 public:
  DirTree(Store& store, uint64_t seed) : store_(store), seed_(seed) {}

  // Null for an unknown id.
  [[nodiscard]] DirNode* find(DirId dir);
  // To be changed: it will be written, and its parent's sums brought up to date.
  [[nodiscard]] DirNode* find_to_change(DirId dir);
  DirNode& create(DirId dir);
  void erase(DirId dir);
  // The node of `from` becomes that of `to`, which must be free.
  void rename_id(DirId from, DirId to);
  // Hangs a detached node under a parent, and takes it off again; the sums go with it.
  void attach(DirId dir, DirId parent, std::string_view name);
  void detach(DirId dir);
  void mark_stale(DirId dir, DirNode& node);

  // True if `dir` is `ancestor` or lies below it, or deeper than limits::index_depth_max.
  [[nodiscard]] bool is_below(DirId dir, DirId ancestor);

  // Makes every sum hold the present hashes of the directories below.
  void resolve();
  // Puts what changed into the store's overlay.
  void write();
  // Forgets cached nodes if there are many; nothing may be changed and unwritten.
  void trim();
  void clear();

 private:
  [[nodiscard]] size_t depth_of(DirId dir, std::unordered_map<DirId, size_t>& known);
  void resolve_one(DirId dir, DirNode& node);

  Store& store_;
  const uint64_t seed_;
  std::unordered_map<DirId, DirNode> nodes_;  // a cache: what is not changed can be read again
  std::vector<DirId> stale_;
  std::vector<DirId> changed_;
};

}  // namespace repl
