// copy_search.h: is the content of a file, whose digest nobody knows yet, one that the peer has
// under another key? (cp, a restored backup, a move that was seen as a new file.)
//
// Contents of the same size come into question, if some blocks of the file, spread over it, are
// theirs. Then the file is read, until no content is left that has its blocks, or to its end. So a
// new file of a common size costs a few reads, and only one that is very probably a copy a reading.
//
// Thread: one owner. Memory: the block tables of what comes into question, and one slab.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/index/index.h"
#include "engine/model/hash.h"
#include "engine/send/content_source.h"
#include "engine/send/peer_contents.h"

namespace repl::send {

class CopySearch {
 public:
  enum class Step : uint8_t { more, known, unknown };
  // Null: nothing that the peer has comes into question, or the file cannot be read.
  [[nodiscard]] static std::unique_ptr<CopySearch> begin(const Index& index,
                                                         const PeerContents& peer,
                                                         ContentSource& source, const Key& key);

  // Reads at most `budget_bytes` (at least one block). `known`: the file held still, it has
  // digest(), and some of the contents in question had it.
  [[nodiscard]] Step step(size_t budget_bytes);
  [[nodiscard]] ContentHandle& handle() { return *handle_; }
  [[nodiscard]] const Digest& digest() const { return digest_; }
  [[nodiscard]] const std::vector<Digest>& blocks() const { return hasher_.blocks(); }

 private:
  struct Content {
    Digest digest;
    std::vector<Digest> table;  // empty: not known
  };
  CopySearch(ContentSource& source, const Key& key, std::unique_ptr<ContentHandle> handle);
  void sample();
  void keep_those_with(uint64_t index, const Digest& block);
  [[nodiscard]] Step end();

  ContentSource& source_;
  Key key_;
  std::unique_ptr<ContentHandle> handle_;
  uint64_t size_;
  uint64_t offset_ = 0;
  uint64_t compared_ = 0;  // blocks
  std::vector<Content> contents_;
  ContentHasher hasher_;
  Digest digest_;
  std::string slab_;
};

}  // namespace repl::send
