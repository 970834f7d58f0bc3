// index_model.h: what an index promises, written as plainly as possible and without any care for
// speed.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/index/index.h"
#include "engine/model/hash.h"

namespace repl {

class IndexModel {
 public:
  explicit IndexModel(uint64_t seed) : seed_(seed) {}

  std::map<Key, Entry> entries;
  std::map<Key, CutNumber> tombstones;
  std::map<DirId, Key> detached;
  CutNumber log_start;

  [[nodiscard]] std::optional<Key> place(DirId dir) const {
    for (const auto& [key, entry] : entries) {
      if (!key.is_root() && entry.attr.dir == dir) return key;
    }
    return std::nullopt;
  }
  [[nodiscard]] bool knows(DirId dir) const {
    if (!dir.is_set()) return false;  // files have none either
    return dir == root_dir || detached.contains(dir) || place(dir).has_value();
  }
  [[nodiscard]] bool is_below(DirId dir, DirId ancestor) const {
    for (;;) {
      if (dir == ancestor) return true;
      const auto at = place(dir);
      if (!at) return false;
      dir = at->dir;
    }
  }

  bool put(const Key& key, Entry entry) {
    const DirId dir = entry.attr.dir;
    if (key.is_root()) {
      entries[key] = std::move(entry);
      return true;
    }
    if (!knows(key.dir) || (dir.is_set() && is_below(key.dir, dir))) return false;
    const auto old = entries.find(key);
    std::optional<Key> vacated;
    if (dir.is_set() && (old == entries.end() || old->second.attr.dir != dir)) {
      if (const auto it = detached.find(dir); it != detached.end()) {
        vacated = it->second;
        detached.erase(it);
      } else if ((vacated = place(dir))) {
        entries.erase(*vacated);
      }
    }
    if (const auto it = entries.find(key); it != entries.end() && it->second.attr.dir != dir) {
      drop(key);
    }
    const CutNumber cut = entry.cut;
    entries[key] = std::move(entry);
    tombstones.erase(key);
    if (vacated && !entries.contains(*vacated)) bury(*vacated, cut);
    return true;
  }
  void detach(DirId dir) {
    const auto at = place(dir);
    if (!at) return;
    detached[dir] = *at;
    entries.erase(*at);
  }
  void remove(const Key& key, CutNumber cut) {
    if (key.is_root() || !entries.contains(key)) return;
    drop(key);
    bury(key, cut);
  }
  void drop(const Key& key) {
    const DirId dir = entries.at(key).attr.dir;
    entries.erase(key);
    if (!key.is_root() && dir.is_set()) drop_below(dir);
  }
  void bury(const Key& key, CutNumber cut) {
    if (cut > log_start && knows(key.dir)) tombstones[key] = cut;
  }
  bool adopt(DirId from, DirId to) {
    if (from == root_dir || to == root_dir || !place(from)) return false;
    const auto swap_id = [&](DirId& id) {
      if (id == from) {
        id = to;
      } else if (id == to) {
        id = from;
      }
    };
    const bool swapped = place(to).has_value();
    for (auto& [dir, former] : detached) {
      if (former.dir == to) {
        former.dir = swapped ? from : DirId{};
      } else if (former.dir == from) {
        former.dir = to;
      }
    }
    std::map<Key, Entry> renamed;
    for (const auto& [old_key, old_entry] : entries) {
      Key key = old_key;
      Entry entry = old_entry;
      swap_id(key.dir);
      if (entry.attr.dir.is_set()) swap_id(entry.attr.dir);
      renamed.emplace(std::move(key), std::move(entry));
    }
    entries = std::move(renamed);
    std::map<Key, CutNumber> buried;
    for (const auto& [old_key, cut] : tombstones) {
      Key key = old_key;
      swap_id(key.dir);
      buried.emplace(std::move(key), cut);
    }
    tombstones = std::move(buried);
    return true;
  }
  void trim(CutNumber cut) {
    for (auto it = tombstones.begin(); it != tombstones.end();) {
      if (it->second > cut) {
        ++it;
        continue;
      }
      log_start = std::max(log_start, it->second);
      it = tombstones.erase(it);
    }
  }

  struct Sums {
    Fingerprint content;
    Fingerprint identity;
    uint64_t children = 0;
    uint64_t unknown = 0;
  };
  [[nodiscard]] Sums sums(DirId dir) const {
    Sums sum;
    for (const auto& [key, entry] : entries) {
      if (key.dir != dir || key.is_root()) continue;
      const Sums below = entry.attr.dir.is_set() ? sums(entry.attr.dir) : Sums{};
      sum.content =
          add(sum.content, entry_content_hash(seed_, key.name, entry.attr, below.content));
      sum.identity =
          add(sum.identity, entry_identity_hash(seed_, key.name, entry.attr, below.identity));
      sum.unknown += below.unknown;
      ++sum.children;
      if (entry.attr.type == FileType::regular && !entry.attr.content.is_set()) ++sum.unknown;
    }
    return sum;
  }

 private:
  void drop_below(DirId dir) {
    std::vector<Key> children;
    for (const auto& [key, entry] : entries) {
      if (key.dir == dir) children.push_back(key);
    }
    for (const Key& key : children) drop(key);
    std::erase_if(tombstones, [&](const auto& t) { return t.first.dir == dir; });
  }
  const uint64_t seed_;
};

}  // namespace repl
