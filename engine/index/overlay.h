// overlay.h: changes that are not in LMDB yet, sorted, one map per table.
//
// Thread: an overlay is written by the owner until it is frozen, and only read afterwards.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace repl {

// The first byte of every LMDB key. Frozen: docs/INDEX_FORMAT.md.
enum class Table : uint8_t {
  header = 0,
  entries = 1,
  dirs = 2,
  handles = 3,
  inodes = 4,
  links = 5,
  contents = 6,
  blocks = 7,
  log = 8,
  tombstone_log = 9,
  tombstones = 10,
  meta = 11,
  signatures = 12,
  sizes = 13,
};
inline constexpr size_t table_count = 14;

class Overlay {
 public:
  using Value = std::optional<std::string>;  // nothing: the key is erased
  using Map = std::map<std::string, Value, std::less<>>;

  Overlay() = default;
  Overlay(const Overlay&) = delete;  // the hints point into the maps
  Overlay& operator=(const Overlay&) = delete;

  [[nodiscard]] const Map& map(Table table) const { return part(table).map; }
  // True if what older layers hold of this table does not count any more.
  [[nodiscard]] bool cleared(Table table) const { return part(table).cleared; }
  [[nodiscard]] size_t keys() const { return keys_; }
  [[nodiscard]] bool empty() const { return keys_ == 0; }

  void set(Table table, std::string key, Value value) {
    Part& p = parts_[static_cast<size_t>(table)];
    // Bulk loads come in key order: right behind the last one the place is found without a search.
    const size_t before = p.map.size();
    const auto at = p.map.try_emplace(p.hint, std::move(key));
    at->second = std::move(value);
    p.hint = std::next(at);
    keys_ += p.map.size() - before;
  }
  void clear(Table table) {
    Part& p = parts_[static_cast<size_t>(table)];
    keys_ -= p.map.size();
    p.map.clear();
    p.hint = p.map.end();
    if (!p.cleared) ++keys_;
    p.cleared = true;
  }

 private:
  struct Part {
    Map map;
    Map::iterator hint = map.end();
    bool cleared = false;
  };
  [[nodiscard]] const Part& part(Table table) const { return parts_[static_cast<size_t>(table)]; }
  std::array<Part, table_count> parts_;
  size_t keys_ = 0;  // with one for each cleared table
};

}  // namespace repl
