// tree_sha256.h: one SHA-256 over a whole tree, for a proof of equality that no hash collision can
// forge. Frozen: compared between nodes.
//
// It covers what fingerprints cover (append_compared in hash.h), with three differences: a regular
// file's bytes count by their own SHA-256; which names share an inode counts, not only how many;
// and nothing is a sum. Ids, inodes and ctimes are left out.
//
// Order: depth first, the root, then each directory's children by name (memcmp), what is below a
// directory right behind it. Hashed is "repl tree 1\n", then per entry
//   1 (u8), depth (varint; the root's is 0), name (string; the root's is empty),
//   append_compared, link_names (varint),
//   link group (varint): 0 for an inode of one name, else the group's number in order of first
//   appearance, from 1; for a regular file the SHA-256 of its bytes (32 bytes),
// then 0 (u8) and how many entries there were (u64). Encodings: bytes.h. Every field has its length
// or a fixed size, and depths in this order make the tree: two trees have one encoding only if they
// are equal.
//
// Thread: one owner. Memory: the link groups of which not every name has come.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/model/entry.h"
#include "engine/model/sha256.h"

namespace repl {

class TreeSha256 {
 public:
  TreeSha256();
  // For a regular file: then its bytes, in any pieces, and end_file(), before the next entry.
  void entry(size_t depth, std::string_view name, const Attributes& attr);
  void bytes(std::string_view bytes) { content_.update(bytes); }
  void end_file();
  // 64 lower-case hex digits. Ends the tree.
  [[nodiscard]] std::string finish();

 private:
  struct Group {
    uint64_t number = 0;
    uint32_t names_left = 0;
  };
  uint64_t group_of(const Attributes& attr);

  Sha256 tree_;
  Sha256 content_;
  bool in_file_ = false;
  uint64_t entries_ = 0;
  uint64_t groups_seen_ = 0;
  std::unordered_map<uint64_t, Group> groups_;  // by link id
  std::string record_;
};

}  // namespace repl
