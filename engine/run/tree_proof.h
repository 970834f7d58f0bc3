// tree_proof.h: the SHA-256 of a whole tree (tree_sha256.h) at one position: attributes as the
// index has them, contents as they are on disk, read once.
//
// Whoever owns it says disturb() when anything may have changed since it began: its digest is not
// one position's then. Events that the kernel still keeps must be drained before digest() is
// believed.
//
// Thread: the engine's. A step reads at most about `bytes_max`.
#pragma once

#include <optional>
#include <string>

#include "engine/model/position.h"
#include "engine/model/tree_sha256.h"
#include "engine/run/content_walk.h"

namespace repl::run {

class TreeProof final : private ContentWalk::Witness {
 public:
  // `sink` gets every regular file, as from a walk of WalkKind::everything.
  TreeProof(const Index& index, io::DirCache& dirs, const Position& at, ContentWalk::Sink sink);
  TreeProof(const TreeProof&) = delete;
  TreeProof& operator=(const TreeProof&) = delete;

  // True when the walk has ended.
  [[nodiscard]] bool step(uint64_t bytes_max) { return walk_.step(bytes_max); }
  void disturb() { disturbed_ = true; }
  // Nothing has changed, and the tree still stands at this position.
  [[nodiscard]] bool holds_at(const Position& now) const { return !disturbed_ && now == at_; }
  // Call once, when the walk has ended. Nothing if a file could not be read as the index has it.
  [[nodiscard]] std::optional<std::string> digest();
  [[nodiscard]] uint64_t bytes_read() const { return walk_.bytes_read(); }

 private:
  void entry(size_t depth, const Key& key, const Attributes& attr) override;
  void bytes(std::string_view bytes) override { tree_.bytes(bytes); }
  void file_ended(ContentWalk::Found found);

  Position at_;
  ContentWalk::Sink sink_;
  TreeSha256 tree_;
  bool disturbed_ = false;
  bool unread_ = false;
  ContentWalk walk_;
};

}  // namespace repl::run
