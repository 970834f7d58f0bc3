// copy_search.h: is the content of a file, whose digest nobody knows yet, one that the peer has
// under another key? (cp, a restored backup, a move that was seen as a new file.)
//
// Contents of the same size come into question, if some blocks of the file, spread over it, are
// theirs. Then the file is read, until no content is left that has its blocks, or to its end. So a
// new file of a common size costs a few reads, and only one that is very probably a copy a reading.
//
// Thread: one owner. Memory: the block tables of what comes into question: of one content, and of
// others within limits::copy_search_table_bytes_max; the hashes of what was read, and one slab.
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

  // Reads at most `budget_bytes` (at least one block), or passes limits::hole_step_bytes of a hole.
  // `known`: the file held still, it has
  // digest(), and some of the contents in question had it.
  [[nodiscard]] Step step(size_t budget_bytes);
  [[nodiscard]] ContentHandle& handle() { return *handle_; }
  [[nodiscard]] const Digest& digest() const { return digest_; }
  [[nodiscard]] const std::vector<Digest>& blocks() const { return hasher_.blocks(); }
  [[nodiscard]] size_t table_bytes() const { return table_bytes_; }

 private:
  struct Content {
    Digest digest;
    std::vector<Digest> table;  // empty: not known
    [[nodiscard]] bool has(uint64_t index, const Digest& block_digest) const;
  };
  CopySearch(ContentSource& source, const Key& key, std::unique_ptr<ContentHandle> handle);
  [[nodiscard]] bool has_samples_of(const Content& content);
  [[nodiscard]] bool take(Content content);  // false: no room
  [[nodiscard]] Step end();

  ContentSource& source_;
  Key key_;
  std::unique_ptr<ContentHandle> handle_;
  uint64_t size_;
  uint64_t offset_ = 0;
  uint64_t compared_ = 0;        // blocks
  std::vector<Digest> samples_;  // read so far
  std::vector<Content> contents_;
  size_t table_bytes_ = 0;
  ContentHasher hasher_;
  Digest digest_;
  std::string slab_;
};

}  // namespace repl::send
