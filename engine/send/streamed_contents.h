// streamed_contents.h: what was streamed to the peer last, by key.
//
// A large file that is written all the time is in a cut before its content of the cut before was
// read: the index does not know that content, but the peer has it.
//
// Thread: one owner. Memory: 256 contents, and 16 MiB of block digests.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "engine/model/message.h"

namespace repl::send {

struct StreamedContent {
  Digest content;
  uint64_t size = 0;
  std::vector<Digest> blocks;
};

class StreamedContents {
 public:
  [[nodiscard]] const StreamedContent* find(const Key& key) const;
  void remember(const Key& key, StreamedContent content);
  // The key is about to be something else on the peer, unless only its attributes change.
  void forget(const Record& record);

 private:
  std::unordered_map<Key, StreamedContent> contents_;
  size_t blocks_ = 0;
};

}  // namespace repl::send
