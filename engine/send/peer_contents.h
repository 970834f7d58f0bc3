// peer_contents.h: which contents the peer has, and under which keys, when a cut is made: those of
// entries that did not change since the peer's cut, and those that this very cut replaces or
// removes (a copy is made of what was there before it).
//
// Thread: one owner. Memory: one record per large content that the cut replaces.
#pragma once

#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/index/index.h"

namespace repl::send {

class PeerContents {
 public:
  explicit PeerContents(const Index& index) : index_(index) {}

  // A cut begins. Entries that changed at or below `peer_at` are on the peer as the index has them;
  // unset: no entry is known to be. `lacks`: keys that the peer has not as the index has them, all
  // the same.
  void begin(CutNumber peer_at, std::function<bool(const Key&)> lacks);
  // The peer has this under a key of the cut. Small contents are not kept: they are sent.
  void add(const Key& key, const Digest& content, uint64_t size);

  // A key of this content, not `except`.
  [[nodiscard]] std::optional<Key> key_of(const Digest& content, uint64_t size,
                                          const Key& except) const;
  // Contents of this size under other keys than `except`; of many only some.
  [[nodiscard]] std::vector<Digest> of_size(uint64_t size, const Key& except) const;

 private:
  struct Held {
    Key key;
    Digest content;
  };
  [[nodiscard]] std::optional<Digest> unchanged(const Key& key) const;

  const Index& index_;
  CutNumber peer_at_;
  std::function<bool(const Key&)> lacks_;
  std::unordered_multimap<uint64_t, Held> held_;  // by size
};

}  // namespace repl::send
