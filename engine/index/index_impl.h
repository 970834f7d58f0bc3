// index_impl.h: the inside of Index. index.cc reads, index_change.cc changes, index_refs.cc keeps
// the reverse maps, index_log.cc the log of changes, index_signatures.cc
// the rolling signatures; index_check.cc proves them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "engine/index/dir_tree.h"
#include "engine/index/entry_codec.h"
#include "engine/index/index.h"
#include "engine/index/keyless_contents.h"
#include "engine/index/store.h"

namespace repl {

struct Index::Batch {
  std::shared_ptr<const Overlay> overlay;
};

struct Index::Impl {
  Impl(std::unique_ptr<Store> opened, uint64_t tree_seed, const IndexOptions& with)
      : seed(tree_seed), options(with), store(std::move(opened)), tree(*store, tree_seed) {}

  // index.cc
  [[nodiscard]] Status load();
  void write_header();
  [[nodiscard]] std::optional<Entry> get(const Key& key) const;
  [[nodiscard]] std::optional<Entry> decode(const std::string& bytes) const;
  [[nodiscard]] bool is_live_dir(DirId dir) { return tree.find(dir) != nullptr; }

  // index_change.cc
  [[nodiscard]] bool accepts(const Key& key, const Entry& entry);
  void put(const Key& key, const Entry& entry);
  void put_root(const Entry& entry);
  void insert(const Key& key, const Entry& entry);
  // Same key and, if it is a directory, same id.
  void replace(const Key& key, const Entry& old, const Entry& entry);
  void erase(const Key& key, const Entry& old);  // with all below
  void erase_record(const Key& key, const Entry& old);
  void erase_below(DirId dir);
  [[nodiscard]] std::optional<Key> take_off(DirId dir);
  void renumber(DirId from, DirId to);
  void renumber_child(const Key& key, const Entry& entry, DirId to);
  void add_to_sums(const Key& key, const Entry& entry);
  void take_from_sums(const Key& key, const Entry& entry);
  void count(const Entry& entry);
  void discount(const Entry& entry);

  // index_refs.cc: everything that leads to a key, but the key itself
  void add_refs(const Key& key, const Entry& entry);
  void drop_refs(const Key& key, const Entry& entry);
  void change_refs(const Key& key, const Entry& old, const Entry& entry);
  void add_content(const Digest& content, const Key& key);
  void drop_content(const Digest& content, const Key& key);
  [[nodiscard]] bool content_has_key(const Digest& content) const;
  void drop_handle(const Entry& entry);

  // index_log.cc
  void add_tombstone(const Key& key, CutNumber cut);
  void drop_tombstone(const Key& key);
  void drop_tombstones_in(DirId dir);
  void move_tombstones(DirId from, DirId to);
  void drop_tombstones_until(CutNumber cut, CutNumber& last_dropped);
  void bound_tombstones();

  const uint64_t seed;
  const IndexOptions options;
  std::unique_ptr<Store> store;
  DirTree tree;
  IndexCounts counts;
  CutNumber log_start;
  CutNumber latest_cut;                     // the highest that was logged
  std::unordered_map<DirId, Key> detached;  // and where each hung
  KeylessContents keyless;
  std::shared_ptr<Batch> in_flight;
};

// Contents that are worth finding again: of one block or more, digest known.
[[nodiscard]] inline bool is_kept_content(const Entry& entry) {
  return entry.attr.type == FileType::regular && entry.attr.content.is_set() &&
         entry.attr.size >= limits::block_bytes;
}
// Contents that a new file may be a copy of: those that are not sent within their record.
[[nodiscard]] inline bool is_sized(const Entry& entry) {
  return is_kept_content(entry) && entry.attr.size > limits::inline_bytes_max;
}
[[nodiscard]] inline bool is_unknown(const Entry& entry) {
  return entry.attr.type == FileType::regular && !entry.attr.content.is_set();
}

}  // namespace repl
