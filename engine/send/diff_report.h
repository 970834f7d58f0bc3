// diff_report.h: the differences of two trees: all counted, as many listed as the limits allow.
//
// Thread: one owner. Memory: none per difference; whoever is told of one keeps it or not.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "engine/base/limits.h"
#include "engine/model/entry.h"
#include "engine/model/key.h"

namespace repl::send {

enum class DiffChange : uint8_t {
  only_peer,
  only_here,
  content,     // regular files; with it, attributes may differ too
  attributes,  // all else that equality compares, targets of symlinks and numbers of names included
  type,
  moved,  // a directory, one by its id, that hangs elsewhere at the peer
};
inline constexpr size_t diff_changes = 6;

struct DiffItem {
  DiffChange change = DiffChange::only_peer;
  std::string path;                // bytes, below the root; here, but for only_peer: at the peer
  std::string peer_path;           // moved: at the peer; else empty
  FileType type = FileType::none;  // at the peer; only_here, moved: here
  uint64_t bytes = 0;              // of that side's regular file
  Key key;                         // in the ids of the side that `path` is of
};

struct DiffTally {
  uint64_t items = 0;
  uint64_t bytes = 0;
};
struct DiffCounts {
  std::array<DiffTally, diff_changes> by_change;
  // Of those that count as content: sizes are equal, and not both sides know their digests yet.
  uint64_t unknown = 0;
  // Directories that went, or became others, while they were compared: not looked into, or their
  // own attributes not told.
  uint64_t changed_meanwhile = 0;
  bool truncated = false;  // more was counted than listed

  [[nodiscard]] const DiffTally& of(DiffChange change) const {
    return by_change[static_cast<size_t>(change)];
  }
  [[nodiscard]] bool equal() const;  // nothing differs, and nothing was left out
};

struct DiffLimits {
  size_t items = limits::diff_items_max;
  size_t item_bytes = limits::diff_item_bytes_max;  // of their paths
  uint64_t entries = limits::diff_entries_max;      // that the peer lists
  size_t dirs = limits::diff_dirs_max;              // of the peer, that wait to be listed
};

class DiffReport {
 public:
  DiffReport(std::function<void(DiffItem)> found, const DiffLimits& limits)
      : found_(std::move(found)), limits_(limits) {}

  // `set_paths` is asked only of what is listed.
  void add(DiffItem item, const std::function<void(DiffItem&)>& set_paths);
  void add_unknown() { ++counts_.unknown; }
  void add_changed_meanwhile() { ++counts_.changed_meanwhile; }
  [[nodiscard]] const DiffCounts& counts() const { return counts_; }

 private:
  std::function<void(DiffItem)> found_;
  DiffLimits limits_;
  DiffCounts counts_;
  size_t items_ = 0;
  size_t item_bytes_ = 0;
};

}  // namespace repl::send
