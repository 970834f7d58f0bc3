// hot_files.h: files that were published as they were read, because they never held still: how
// often, and which of them have not held still since. Those are published however they are read,
// until once they do.
//
// Thread: one owner. Memory: limits::hot_keys_max keys; one more, and all have their tries again.
#pragma once

#include <cstdint>
#include <unordered_set>

#include "engine/base/limits.h"
#include "engine/model/key.h"

namespace repl::send {

class HotFiles {
 public:
  [[nodiscard]] bool contains(const Key& key) const { return keys_.contains(key); }
  [[nodiscard]] uint64_t published() const { return published_; }
  // It was published as it was read. True: the first time since it held still.
  bool publish(const Key& key) {
    ++published_;
    if (keys_.size() >= limits::hot_keys_max && !keys_.contains(key)) keys_.clear();
    return keys_.insert(key).second;
  }
  void held_still(const Key& key) { keys_.erase(key); }

 private:
  std::unordered_set<Key> keys_;
  uint64_t published_ = 0;
};

}  // namespace repl::send
