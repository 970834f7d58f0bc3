// keyless_contents.h: block tables and rolling signatures of contents that no key has: not yet (a
// file that is being staged), or no more (an edited file whose former content a peer still has, and
// the difference is made against). In memory; the oldest go first.
//
// Thread: one owner. Memory: limits::index_keyless_contents_max and
// limits::index_keyless_bytes_max.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "engine/base/ids.h"

namespace repl {

struct KeylessContent {
  Digest content;
  std::string blocks;     // as in the index; empty: none
  std::string signature;  // likewise
};

class KeylessContents {
 public:
  [[nodiscard]] const KeylessContent* find(const Digest& content) const;
  // Takes the place of what is remembered of the content.
  void put(KeylessContent content);
  // It has a key now.
  [[nodiscard]] std::optional<KeylessContent> take(const Digest& content);
  void clear();

 private:
  std::deque<KeylessContent> contents_;  // the newest last
  size_t bytes_ = 0;
};

}  // namespace repl
