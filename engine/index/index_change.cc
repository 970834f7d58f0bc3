// Changes of entries and of directories' places.
#include <algorithm>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/index/index_impl.h"
#include "engine/model/hash.h"

namespace repl {

void Index::Impl::count(const Entry& entry) {
  ++counts.entries;
  if (entry.attr.type == FileType::directory) ++counts.directories;
  if (entry.attr.type == FileType::regular) counts.bytes += entry.attr.size;
}

void Index::Impl::discount(const Entry& entry) {
  --counts.entries;
  if (entry.attr.type == FileType::directory) --counts.directories;
  if (entry.attr.type == FileType::regular) counts.bytes -= entry.attr.size;
}

// Directories' own hashes are brought into their parents' sums by DirTree.
void Index::Impl::add_to_sums(const Key& key, const Entry& entry) {
  DirNode* parent = tree.find_to_change(key.dir);
  REPL_CHECK(parent != nullptr);
  parent->content = add(parent->content, entry_content_hash(seed, key.name, entry.attr, {}));
  parent->identity = add(parent->identity, entry_identity_hash(seed, key.name, entry.attr, {}));
  if (is_unknown(entry)) ++parent->unknown;
  ++parent->children;
}

void Index::Impl::take_from_sums(const Key& key, const Entry& entry) {
  DirNode* parent = tree.find_to_change(key.dir);
  // Absent only in a damaged index.
  if (parent == nullptr) return;
  parent->content = subtract(parent->content, entry_content_hash(seed, key.name, entry.attr, {}));
  parent->identity =
      subtract(parent->identity, entry_identity_hash(seed, key.name, entry.attr, {}));
  if (is_unknown(entry)) --parent->unknown;
  --parent->children;
}

void Index::Impl::insert(const Key& key, const Entry& entry) {
  drop_tombstone(key);
  store->put(Table::entries, key_bytes(key), encode_entry(entry));
  add_refs(key, entry);
  count(entry);
  if (!entry.attr.dir.is_set()) add_to_sums(key, entry);
}

void Index::Impl::replace(const Key& key, const Entry& old, const Entry& entry) {
  store->put(Table::entries, key_bytes(key), encode_entry(entry));
  change_refs(key, old, entry);
  discount(old);
  count(entry);
  if (old.attr == entry.attr) return;
  if (entry.attr.dir.is_set()) {
    static_cast<void>(tree.find_to_change(entry.attr.dir));
  } else {
    take_from_sums(key, old);
    add_to_sums(key, entry);
  }
}

void Index::Impl::erase_record(const Key& key, const Entry& old) {
  store->erase(Table::entries, key_bytes(key));
  drop_refs(key, old);
  discount(old);
}

void Index::Impl::erase_below(DirId top) {
  std::vector<DirId> todo{top};
  while (!todo.empty()) {
    const DirId dir = todo.back();
    todo.pop_back();
    for (auto at = store->range(Table::entries, number_bytes(dir.value)); at.valid(); at.next()) {
      const auto key = decode_key(at.key());
      const auto entry = decode(at.value());
      if (!key || !entry) continue;
      erase_record(*key, *entry);
      if (entry->attr.dir.is_set()) todo.push_back(entry->attr.dir);
    }
    drop_tombstones_in(dir);
    tree.erase(dir);
  }
}

void Index::Impl::erase(const Key& key, const Entry& old) {
  if (old.attr.dir.is_set()) {
    if (is_live_dir(old.attr.dir)) tree.detach(old.attr.dir);
    erase_below(old.attr.dir);
  } else {
    take_from_sums(key, old);
  }
  erase_record(key, old);
}

// Takes a directory off the place where it hangs, or out of `detached`; says where it hung.
std::optional<Key> Index::Impl::take_off(DirId dir) {
  if (const auto it = detached.find(dir); it != detached.end()) {
    Key former = std::move(it->second);
    detached.erase(it);
    return former;
  }
  const DirNode* node = tree.find(dir);
  if (node == nullptr) return std::nullopt;
  Key place{.dir = node->parent, .name = node->name};
  if (const auto old = get(place)) erase_record(place, *old);
  tree.detach(dir);
  return place;
}

bool Index::Impl::accepts(const Key& key, const Entry& entry) {
  const Attributes& attr = entry.attr;
  if (attr.type == FileType::none) return false;
  if (key.is_root()) return attr.type == FileType::directory;
  if (!is_legal_name(key.name) || !is_live_dir(key.dir)) return false;
  if (attr.type != FileType::directory) return true;
  if (!attr.dir.is_set() || attr.dir == root_dir) return false;
  return !tree.is_below(key.dir, attr.dir);
}

void Index::Impl::put(const Key& key, const Entry& entry) {
  std::optional<Entry> old = get(key);
  const DirId dir = entry.attr.dir;
  if (old && old->attr.dir == dir) {
    replace(key, *old, entry);
    return;
  }
  // First out, then erase: it may hang below what it replaces.
  std::optional<Key> vacated;
  if (dir.is_set()) vacated = take_off(dir);
  if (old) erase(key, *old);
  if (dir.is_set()) {
    if (!is_live_dir(dir)) tree.create(dir);
    tree.attach(dir, key.dir, key.name);
  }
  insert(key, entry);
  if (vacated && !store->contains(Table::entries, key_bytes(*vacated))) {
    add_tombstone(*vacated, entry.cut);
  }
}

// The root has no place and no parent's sums.
void Index::Impl::put_root(const Entry& entry) {
  const std::optional<Entry> old = get(root_key);
  store->put(Table::entries, key_bytes(root_key), encode_entry(entry));
  if (old) {
    change_refs(root_key, *old, entry);
    discount(*old);
  } else {
    add_refs(root_key, entry);
  }
  count(entry);
}

bool Index::put(const Key& key, const Entry& entry) {
  if (!impl_->accepts(key, entry)) return false;
  if (key.is_root()) {
    Entry root = entry;
    root.attr.dir = root_dir;
    impl_->put_root(root);
  } else if (entry.attr.type != FileType::directory && entry.attr.dir.is_set()) {
    Entry other = entry;
    other.attr.dir = DirId{};
    impl_->put(key, other);
  } else {
    impl_->put(key, entry);
  }
  impl_->bound_tombstones();
  return true;
}

bool Index::can_move(DirId dir, DirId new_parent) const {
  return dir != root_dir && impl_->is_live_dir(dir) && impl_->is_live_dir(new_parent) &&
         !impl_->tree.is_below(new_parent, dir);
}

bool Index::detach_dir(DirId dir) {
  if (dir == root_dir || impl_->detached.contains(dir)) return false;
  const auto former = impl_->take_off(dir);
  if (!former) return false;
  impl_->detached.emplace(dir, *former);
  return true;
}

void Index::remove_detached(CutNumber cut) {
  for (const auto& [dir, former] : std::exchange(impl_->detached, {})) {
    impl_->erase_below(dir);
    if (!contains(former)) impl_->add_tombstone(former, cut);
  }
  impl_->bound_tombstones();
}

void Index::put_local(const Key& key, const LocalStat& local) {
  const auto old = get(key);
  if (!old || old->local == local) return;
  Entry entry = *old;
  entry.local = local;
  impl_->replace(key, *old, entry);
}

void Index::remove(const Key& key, CutNumber cut) {
  if (key.is_root()) return;
  const auto old = get(key);
  if (!old) return;
  impl_->erase(key, *old);
  impl_->add_tombstone(key, cut);
  impl_->bound_tombstones();
}

void Index::forget(const Key& key) {
  const auto old = get(key);
  if (!old) return;
  if (key.is_root()) {
    impl_->erase_record(key, *old);
  } else {
    impl_->erase(key, *old);
  }
}

void Index::set_content(const Key& key, const Digest& content, uint64_t size) {
  const auto old = get(key);
  if (!old || old->attr.type != FileType::regular) return;
  Entry entry = *old;
  entry.attr.content = content;
  entry.attr.size = size;
  impl_->replace(key, *old, entry);
}

void Index::set_link(const Key& key, LinkId link, uint32_t link_names) {
  const auto old = get(key);
  if (!old) return;
  Entry entry = *old;
  entry.attr.link = link;
  entry.attr.link_names = link_names;
  impl_->replace(key, *old, entry);
}

void Index::Impl::renumber_child(const Key& key, const Entry& entry, DirId to) {
  const Key moved{.dir = to, .name = key.name};
  Entry refs = entry;
  refs.local.handle.clear();  // leads to the child's own id, which stays
  add_refs(moved, refs);      // first, so that a content keeps its block table
  drop_refs(key, refs);
  store->erase(Table::entries, key_bytes(key));
  store->put(Table::entries, key_bytes(moved), encode_entry(entry));
  if (!entry.attr.dir.is_set()) return;
  if (DirNode* child = tree.find_to_change(entry.attr.dir)) child->parent = to;
}

void Index::Impl::renumber(DirId from, DirId to) {
  tree.rename_id(from, to);
  for (auto at = store->range(Table::entries, number_bytes(from.value)); at.valid(); at.next()) {
    const auto key = decode_key(at.key());
    const auto entry = decode(at.value());
    if (key && entry) renumber_child(*key, *entry, to);
  }
  move_tombstones(from, to);
  for (auto& [dir, former] : detached) {
    if (former.dir == from) former.dir = to;
  }
  const DirNode* node = tree.find(to);
  const Key place{.dir = node->parent, .name = node->name};
  const auto old = get(place);
  if (!old) {
    store->env().set_fault("place of directory");
    return;
  }
  Entry entry = *old;
  entry.attr.dir = to;
  drop_handle(*old);
  if (!entry.local.handle.empty()) {
    Entry handle_only;
    handle_only.attr.dir = to;
    handle_only.local.handle = entry.local.handle;
    add_refs(place, handle_only);
  }
  store->put(Table::entries, key_bytes(place), encode_entry(entry));
}

bool Index::adopt_dir_id(DirId from, DirId to) {
  if (from == to) return impl_->is_live_dir(from);
  if (from == root_dir || to == root_dir || !from.is_set() || !to.is_set()) return false;
  if (impl_->detached.contains(from) || impl_->detached.contains(to)) return false;
  if (!impl_->is_live_dir(from)) return false;
  if (!impl_->is_live_dir(to)) {
    // What left a directory of that id, which is gone, has nothing to do with this one.
    for (auto& [dir, former] : impl_->detached) {
      if (former.dir == to) former.dir = DirId{};
    }
    impl_->renumber(from, to);
    return true;
  }
  DirId aside{UINT64_MAX};
  while (impl_->is_live_dir(aside)) --aside.value;
  impl_->renumber(from, aside);
  impl_->renumber(to, from);
  impl_->renumber(aside, to);
  return true;
}

void Index::clear() {
  for (size_t t = 0; t < table_count; ++t) {
    const auto table = static_cast<Table>(t);
    if (table != Table::header && table != Table::meta) impl_->store->clear(table);
  }
  impl_->tree.clear();
  impl_->tree.create(root_dir);
  impl_->detached.clear();
  impl_->keyless.clear();
  impl_->counts = IndexCounts{};
  impl_->log_start = std::max(impl_->log_start, impl_->latest_cut);
  impl_->write_header();
}

}  // namespace repl
