// hash.h: digests of contents, hashes of entries. Frozen: both are on disk and compared between
// nodes.
//
// XXH3-128 throughout: not cryptographic. It finds every accident; against a hostile writer only
// `repl verify --sha256` is a proof (tree_sha256.h).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/ids.h"
#include "engine/model/entry.h"

namespace repl {

// XXH3-128 of some bytes.
[[nodiscard]] Digest hash_bytes(std::string_view bytes);

// The digest of a content of one block (64 KiB) or less is the hash of its bytes; of a longer one
// the hash over the hashes of its blocks (each as high, low, little-endian), the last block being
// short.
class ContentHasher {
 public:
  ContentHasher();
  ~ContentHasher();
  ContentHasher(ContentHasher&&) noexcept;
  ContentHasher& operator=(ContentHasher&&) noexcept;

  void update(std::string_view bytes);
  void update_zeros(uint64_t count);  // a hole
  // A whole block whose hash is known. Only at_block_start().
  void update_block(const Digest& block);
  [[nodiscard]] bool at_block_start() const;
  [[nodiscard]] uint64_t size() const { return size_; }
  // Ends the content. blocks() is complete afterwards (one entry even for a content of one block or
  // none).
  [[nodiscard]] Digest finish();
  [[nodiscard]] const std::vector<Digest>& blocks() const { return blocks_; }

 private:
  void close_block();
  struct State;
  State* state_;
  uint64_t size_ = 0;
  std::vector<Digest> blocks_;
};
// The digest of a content from its block hashes.
[[nodiscard]] Digest digest_of_blocks(std::span<const Digest> blocks);

// What equality compares of an entry's own attributes, but for its content and its links, appended
// in the encoding of bytes.h. Frozen: hashed by fingerprints and by tree_sha256.h.
void append_compared(std::string& record, const Attributes& attr);

// Entry hashes for fingerprints. `seed` is the tree's (seed_of(tree name)). For a directory the
// caller passes the sum of its children's hashes. `name` is empty for the root.
[[nodiscard]] uint64_t fingerprint_seed(std::string_view tree_name);
[[nodiscard]] Bits128 entry_content_hash(uint64_t seed, std::string_view name,
                                         const Attributes& attr, const Fingerprint& children);
// Over (name, directory id or link id, children's identity): what content comparison leaves out.
[[nodiscard]] Bits128 entry_identity_hash(uint64_t seed, std::string_view name,
                                          const Attributes& attr, const Fingerprint& children);

// mod 2^128.
[[nodiscard]] Fingerprint add(Fingerprint sum, const Bits128& hash);
[[nodiscard]] Fingerprint subtract(Fingerprint sum, const Bits128& hash);

}  // namespace repl
