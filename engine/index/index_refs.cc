// The reverse maps: inode, link, content, handle, cut → key.
#include <algorithm>

#include "engine/base/bytes.h"
#include "engine/index/index_impl.h"
#include "engine/model/hash.h"

namespace repl {

namespace {

bool indexes_handle(const Entry& entry) {
  return entry.attr.dir.is_set() && !entry.local.handle.empty() &&
         entry.local.handle.size() <= limits::index_handle_bytes_max;
}

std::vector<Key> keys_behind(const Store& store, Table table, const std::string& prefix,
                             size_t limit) {
  std::vector<Key> keys;
  for (auto at = store.range(table, prefix); at.valid() && keys.size() < limit; at.next()) {
    if (auto key = decode_key(std::string_view(at.key()).substr(prefix.size()))) {
      keys.push_back(std::move(*key));
    } else {
      store.env().set_fault("reverse map");
    }
  }
  return keys;
}

}  // namespace

void Index::Impl::add_refs(const Key& key, const Entry& entry) {
  if (entry.local.inode != 0) {
    store->put(Table::inodes, number_key_bytes(entry.local.inode, key), {});
  }
  if (entry.attr.link.is_set()) {
    store->put(Table::links, number_key_bytes(entry.attr.link.value, key), {});
  }
  if (entry.cut.is_set()) {
    store->put(Table::log, number_key_bytes(entry.cut.value, key), {});
    latest_cut = std::max(latest_cut, entry.cut);
  }
  if (indexes_handle(entry)) {
    store->put(Table::handles, entry.local.handle, number_bytes(entry.attr.dir.value));
  }
  if (is_kept_content(entry)) add_content(entry.attr.content, key);
  if (is_sized(entry)) store->put(Table::sizes, number_key_bytes(entry.attr.size, key), {});
}

void Index::Impl::drop_handle(const Entry& entry) {
  // A handle may have gone to another directory since.
  if (indexes_handle(entry) &&
      store->get(Table::handles, entry.local.handle) == number_bytes(entry.attr.dir.value)) {
    store->erase(Table::handles, entry.local.handle);
  }
}

void Index::Impl::drop_refs(const Key& key, const Entry& entry) {
  if (entry.local.inode != 0) {
    store->erase(Table::inodes, number_key_bytes(entry.local.inode, key));
  }
  if (entry.attr.link.is_set()) {
    store->erase(Table::links, number_key_bytes(entry.attr.link.value, key));
  }
  if (entry.cut.is_set()) store->erase(Table::log, number_key_bytes(entry.cut.value, key));
  drop_handle(entry);
  if (is_kept_content(entry)) drop_content(entry.attr.content, key);
  if (is_sized(entry)) store->erase(Table::sizes, number_key_bytes(entry.attr.size, key));
}

// The order keeps a content's block table when the content stays, and a handle that stays.
void Index::Impl::change_refs(const Key& key, const Entry& old, const Entry& entry) {
  Entry gone = old;
  if (old.local.inode == entry.local.inode) gone.local.inode = 0;
  if (old.attr.link == entry.attr.link) gone.attr.link = LinkId{};
  if (old.cut == entry.cut) gone.cut = CutNumber{};
  if (old.local.handle == entry.local.handle) gone.local.handle.clear();
  const bool same_content =
      old.attr.content == entry.attr.content && old.attr.size == entry.attr.size;
  if (is_kept_content(entry) && same_content) gone.attr.content = Digest{};
  drop_refs(key, gone);
  add_refs(key, entry);
}

bool Index::Impl::content_has_key(const Digest& content) const {
  return store->range(Table::contents, digest_bytes(content)).valid();
}

void Index::Impl::add_content(const Digest& content, const Key& key) {
  store->put(Table::contents, digest_key_bytes(content, key), {});
  std::optional<KeylessContent> kept = keyless.take(content);
  if (!kept) return;
  if (!kept->blocks.empty()) {
    store->put(Table::blocks, digest_bytes(content), std::move(kept->blocks));
  }
  if (!kept->signature.empty()) {
    store->put(Table::signatures, digest_bytes(content), std::move(kept->signature));
  }
}

// The last key of a content takes it along; in memory it is the base of differences a while longer.
void Index::Impl::drop_content(const Digest& content, const Key& key) {
  store->erase(Table::contents, digest_key_bytes(content, key));
  if (content_has_key(content)) return;
  KeylessContent kept{.content = content};
  const std::string bytes = digest_bytes(content);
  if (auto blocks = store->get(Table::blocks, bytes)) {
    kept.blocks = std::move(*blocks);
    store->erase(Table::blocks, bytes);
  }
  if (auto signature = store->get(Table::signatures, bytes)) {
    kept.signature = std::move(*signature);
    store->erase(Table::signatures, bytes);
  }
  if (!kept.blocks.empty() || !kept.signature.empty()) keyless.put(std::move(kept));
}

std::optional<DirId> Index::dir_of_handle(std::string_view handle) const {
  const auto bytes = impl_->store->get(Table::handles, handle);
  if (!bytes) return std::nullopt;
  const auto id = decode_number(*bytes);
  if (!id) {
    impl_->store->env().set_fault("handle map");
    return std::nullopt;
  }
  return DirId{*id};
}

std::vector<Key> Index::keys_of_inode(uint64_t inode) const {
  return keys_behind(*impl_->store, Table::inodes, number_bytes(inode), SIZE_MAX);
}

std::vector<Key> Index::keys_of_link(LinkId link) const {
  return keys_behind(*impl_->store, Table::links, number_bytes(link.value), SIZE_MAX);
}

std::vector<Key> Index::keys_of_content(const Digest& content, size_t limit) const {
  return keys_behind(*impl_->store, Table::contents, digest_bytes(content), limit);
}

std::vector<Key> Index::keys_of_size(uint64_t size, size_t limit) const {
  return keys_behind(*impl_->store, Table::sizes, number_bytes(size), limit);
}

std::optional<std::vector<Digest>> Index::block_table(const Digest& content) const {
  std::optional<std::string> bytes = impl_->store->get(Table::blocks, digest_bytes(content));
  if (!bytes) {
    const KeylessContent* kept = impl_->keyless.find(content);
    if (kept != nullptr && !kept->blocks.empty()) bytes = kept->blocks;
  }
  if (!bytes) return std::nullopt;
  std::vector<Digest> blocks;
  blocks.reserve(bytes->size() / 16);
  ByteReader in(*bytes);
  while (in.ok() && !in.done()) blocks.push_back(Digest{in.bits()});
  if (!in.ok() || digest_of_blocks(blocks) != content) {
    impl_->store->env().set_fault("block table " + to_hex(content));
    return std::nullopt;
  }
  return blocks;
}

void Index::put_block_table(const Digest& content, const std::vector<Digest>& blocks) {
  if (blocks.size() < 2 || digest_of_blocks(blocks) != content) return;
  std::string bytes;
  bytes.reserve(blocks.size() * 16);
  ByteWriter out(bytes);
  for (const Digest& block : blocks) out.bits(block);
  if (impl_->content_has_key(content)) {
    impl_->store->put(Table::blocks, digest_bytes(content), std::move(bytes));
    return;
  }
  KeylessContent kept{.content = content};
  if (auto known = impl_->keyless.take(content)) kept = std::move(*known);
  kept.blocks = std::move(bytes);
  impl_->keyless.put(std::move(kept));
}

}  // namespace repl
