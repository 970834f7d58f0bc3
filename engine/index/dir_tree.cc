#include "engine/index/dir_tree.h"

#include <fmt/format.h>

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/index/entry_codec.h"

namespace repl {

namespace {

constexpr uint8_t dir_version = 1;
constexpr size_t cached_nodes_max = 100'000;
// Only a circle in a damaged index is longer.
constexpr size_t chain_max = 1 << 24;

}  // namespace

std::string encode_dir(const DirNode& node) {
  std::string bytes;
  bytes.reserve(96 + node.name.size());
  ByteWriter out(bytes);
  out.u8(dir_version);
  out.u64(node.parent.value);
  out.string(node.name);
  out.bits(node.content);
  out.bits(node.identity);
  out.bits(node.content_in_parent);
  out.bits(node.identity_in_parent);
  out.varint(node.children);
  out.varint(node.unknown);
  return bytes;
}

bool decode_dir(std::string_view bytes, DirNode& node) {
  ByteReader in(bytes);
  if (in.u8() != dir_version) return false;
  node.parent.value = in.u64();
  node.name = in.string();
  node.content = Fingerprint{in.bits()};
  node.identity = Fingerprint{in.bits()};
  node.content_in_parent = in.bits();
  node.identity_in_parent = in.bits();
  node.children = in.varint();
  node.unknown = in.varint();
  node.unknown_in_parent = node.unknown;
  return in.done() && node.name.size() <= limits::name_bytes_max;
}

DirNode* DirTree::find(DirId dir) {
  if (const auto it = nodes_.find(dir); it != nodes_.end()) return &it->second;
  const std::optional<std::string> bytes = store_.get(Table::dirs, number_bytes(dir.value));
  if (!bytes) return nullptr;
  DirNode node;
  if (!decode_dir(*bytes, node)) {
    store_.env().set_fault(fmt::format("record of directory {:x}", dir.value));
    return nullptr;
  }
  return &nodes_.emplace(dir, std::move(node)).first->second;
}

void DirTree::mark_stale(DirId dir, DirNode& node) {
  if (!node.changed) {
    node.changed = true;
    changed_.push_back(dir);
  }
  if (!node.stale && dir != root_dir) {
    node.stale = true;
    stale_.push_back(dir);
  }
}

DirNode* DirTree::find_to_change(DirId dir) {
  DirNode* node = find(dir);
  if (node != nullptr) mark_stale(dir, *node);
  return node;
}

DirNode& DirTree::create(DirId dir) {
  DirNode& node = nodes_[dir];
  node = DirNode{};
  mark_stale(dir, node);
  return node;
}

void DirTree::erase(DirId dir) {
  nodes_.erase(dir);
  store_.erase(Table::dirs, number_bytes(dir.value));
}

void DirTree::rename_id(DirId from, DirId to) {
  DirNode* node = find(from);
  REPL_CHECK(node != nullptr && find(to) == nullptr);
  DirNode moved = std::move(*node);
  moved.stale = moved.changed = false;
  erase(from);
  DirNode& placed = nodes_[to] = std::move(moved);
  mark_stale(to, placed);
}

void DirTree::attach(DirId dir, DirId parent, std::string_view name) {
  DirNode* node = find_to_change(dir);
  DirNode* above = find_to_change(parent);
  REPL_CHECK(node != nullptr && above != nullptr);
  node->parent = parent;
  node->name = name;
  ++above->children;
}

void DirTree::detach(DirId dir) {
  DirNode* node = find_to_change(dir);
  REPL_CHECK(node != nullptr);
  if (DirNode* above = find_to_change(node->parent)) {
    above->content = subtract(above->content, node->content_in_parent);
    above->identity = subtract(above->identity, node->identity_in_parent);
    above->unknown -= node->unknown_in_parent;
    --above->children;
  }
  node->parent = DirId{};
  node->name.clear();
  node->content_in_parent = node->identity_in_parent = Bits128{};
  node->unknown_in_parent = 0;
}

bool DirTree::is_below(DirId dir, DirId ancestor) {
  for (uint64_t steps = 0; steps <= limits::index_depth_max && dir.is_set(); ++steps) {
    if (dir == ancestor) return true;
    const DirNode* node = find(dir);
    if (node == nullptr) return false;
    dir = node->parent;
  }
  return dir.is_set();
}

size_t DirTree::depth_of(DirId dir, std::unordered_map<DirId, size_t>& known) {
  std::vector<DirId> way;
  size_t depth = 0;
  for (DirId at = dir; at.is_set() && way.size() <= chain_max;) {
    if (const auto it = known.find(at); it != known.end()) {
      depth = it->second + 1;
      break;
    }
    way.push_back(at);
    const DirNode* node = find(at);
    at = node == nullptr ? DirId{} : node->parent;
  }
  for (; !way.empty(); way.pop_back()) known[way.back()] = depth++;
  return known[dir];
}

void DirTree::resolve_one(DirId dir, DirNode& node) {
  node.stale = false;
  if (!node.parent.is_set()) return;
  DirNode* above = find(node.parent);
  const auto bytes = store_.get(Table::entries, key_bytes(node.parent, node.name));
  const auto entry = bytes ? decode_entry(*bytes) : std::nullopt;
  if (above == nullptr || !entry) {
    store_.env().set_fault(fmt::format("place of directory {:x}", dir.value));
    return;
  }
  const Bits128 content = entry_content_hash(seed_, node.name, entry->attr, node.content);
  const Bits128 identity = entry_identity_hash(seed_, node.name, entry->attr, node.identity);
  above->content = add(subtract(above->content, node.content_in_parent), content);
  above->identity = add(subtract(above->identity, node.identity_in_parent), identity);
  above->unknown += node.unknown - node.unknown_in_parent;
  node.content_in_parent = content;
  node.identity_in_parent = identity;
  node.unknown_in_parent = node.unknown;
}

void DirTree::resolve() {
  if (stale_.empty()) return;
  std::unordered_map<DirId, size_t> known;
  std::vector<std::vector<DirId>> levels;
  const auto enlist = [&](DirId dir) {
    const size_t depth = depth_of(dir, known);
    if (levels.size() <= depth) levels.resize(depth + 1);
    levels[depth].push_back(dir);
  };
  std::vector<DirId> stale;
  stale.swap(stale_);
  for (const DirId dir : stale) enlist(dir);
  for (size_t level = levels.size(); level-- > 0;) {
    for (const DirId dir : levels[level]) {
      DirNode* node = find(dir);
      // Erased since, or listed twice.
      if (node == nullptr || !node->stale) continue;
      const DirId parent = node->parent;
      resolve_one(dir, *node);
      if (level > 0 && find_to_change(parent) != nullptr) levels[level - 1].push_back(parent);
    }
  }
  stale_.clear();
}

void DirTree::write() {
  resolve();
  for (const DirId dir : changed_) {
    const auto it = nodes_.find(dir);
    if (it == nodes_.end() || !it->second.changed) continue;
    it->second.changed = false;
    store_.put(Table::dirs, number_bytes(dir.value), encode_dir(it->second));
  }
  changed_.clear();
}

void DirTree::trim() {
  if (nodes_.size() > cached_nodes_max && changed_.empty() && stale_.empty()) nodes_.clear();
}

void DirTree::clear() {
  nodes_.clear();
  stale_.clear();
  changed_.clear();
}

}  // namespace repl
