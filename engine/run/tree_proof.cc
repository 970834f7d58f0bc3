#include "engine/run/tree_proof.h"

#include <utility>

namespace repl::run {

TreeProof::TreeProof(const Index& index, io::DirCache& dirs, const Position& at,
                     ContentWalk::Sink sink)
    : at_(at),
      sink_(std::move(sink)),
      walk_(
          index, dirs, WalkKind::everything,
          [this](ContentWalk::Found found) { file_ended(std::move(found)); }, this) {
  if (const std::optional<Entry> root = index.get(root_key)) entry(0, root_key, root->attr);
}

void TreeProof::entry(size_t depth, const Key& key, const Attributes& attr) {
  tree_.entry(depth, key.name, attr);
}

void TreeProof::file_ended(ContentWalk::Found found) {
  tree_.end_file();
  unread_ = unread_ || !found.digest;
  sink_(std::move(found));
}

std::optional<std::string> TreeProof::digest() {
  std::string digest = tree_.finish();
  if (unread_) return std::nullopt;
  return digest;
}

}  // namespace repl::run
