// inotify_table.h: watch descriptor ↔ directory id, and what the kernel's records mean by it. No
// system calls: the one it needs is passed in.
//
// Invariant: both directions agree. Bound: one entry per watch, which the kernel limits.
// Thread: the caller locks.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "engine/base/ids.h"
#include "engine/watch/watcher.h"

namespace repl::watch {

class InotifyTable {
 public:
  // The watch that the directory had before, if that was another one.
  std::optional<int> set(int wd, DirId dir);
  std::optional<int> remove(DirId dir);
  [[nodiscard]] size_t size() const { return dir_of_.size(); }

  // Ends a watch; true if there was one.
  using EndWatch = std::function<bool(int wd)>;
  // Records as read(2) gives them; lengths are checked.
  void translate(std::string_view buffer, const EndWatch& end_watch, Drained& out);

 private:
  struct Event {
    int wd = 0;
    uint32_t mask = 0;
    std::string_view name;
  };
  static bool next(std::string_view& rest, Event& event);
  bool translate_one(const Event& event, const EndWatch& end_watch, Drained& out);
  bool watch_ended(int wd, const EndWatch& end_watch, Drained& out);

  std::unordered_map<int, DirId> dir_of_;
  std::unordered_map<DirId, int> wd_of_;
};

}  // namespace repl::watch
