#include "engine/watch/inotify_table.h"

#include <fmt/core.h>
#include <sys/inotify.h>

#include <cstring>

#include "engine/watch/hint_sink.h"
#include "engine/watch/watch_limit.h"

namespace repl::watch {

namespace {

uint32_t bits_of(uint32_t mask) {
  uint32_t bits = 0;
  if (mask & IN_CREATE) bits |= hint_created;
  if (mask & IN_DELETE) bits |= hint_removed;
  if (mask & IN_MODIFY) bits |= hint_modified;
  if (mask & IN_CLOSE_WRITE) bits |= hint_closed;
  if (mask & IN_ATTRIB) bits |= hint_attributes;
  if (mask & IN_MOVED_FROM) bits |= hint_moved | hint_removed;
  if (mask & IN_MOVED_TO) bits |= hint_moved | hint_created;
  if (mask & IN_ISDIR) bits |= hint_directory;
  return bits;
}

}  // namespace

std::optional<int> InotifyTable::set(int wd, DirId dir) {
  std::optional<int> displaced;
  if (const auto old = wd_of_.find(dir); old != wd_of_.end() && old->second != wd) {
    displaced = old->second;
    dir_of_.erase(old->second);
  }
  // The inode answered to another id until now.
  if (const auto old = dir_of_.find(wd); old != dir_of_.end() && old->second != dir) {
    wd_of_.erase(old->second);
  }
  dir_of_[wd] = dir;
  wd_of_[dir] = wd;
  return displaced;
}

std::optional<int> InotifyTable::remove(DirId dir) {
  const auto entry = wd_of_.find(dir);
  if (entry == wd_of_.end()) return std::nullopt;
  const int wd = entry->second;
  wd_of_.erase(entry);
  dir_of_.erase(wd);
  return wd;
}

bool InotifyTable::next(std::string_view& rest, Event& event) {
  inotify_event header;
  if (rest.size() < sizeof header) return false;
  std::memcpy(&header, rest.data(), sizeof header);
  if (header.len > rest.size() - sizeof header) return false;
  event.wd = header.wd;
  event.mask = header.mask;
  event.name = rest.substr(sizeof header, header.len);
  event.name = event.name.substr(0, event.name.find('\0'));
  rest.remove_prefix(sizeof header + header.len);
  return true;
}

// IN_IGNORED: the directory was removed, its filesystem unmounted, or we ended the watch ourselves
// (then it is no longer in the table).
bool InotifyTable::watch_ended(int wd, const EndWatch& end_watch, Drained& out) {
  const auto entry = dir_of_.find(wd);
  if (entry == dir_of_.end()) return false;
  const DirId dir = entry->second;
  wd_of_.erase(dir);
  dir_of_.erase(entry);
  // RACE: numbers come back once 2^31 watches were made (the kernel counts on cyclically). Then
  // this record may be of the number's former use, and the table already speaks of the new one. The
  // kernel knows: if there still was a watch, it was the new one; it is gone now, and adding the
  // directory again heals that.
  if (end_watch(wd)) out.lost.push_back({"a watch number was used again", dir});
  if (dir == root_dir) out.root_gone = true;
  return true;
}

bool InotifyTable::translate_one(const Event& event, const EndWatch& end_watch, Drained& out) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) {
    out.lost.push_back({fmt::format("the kernel's event queue overflowed "
                                    "(fs.inotify.max_queued_events is {})",
                                    read_sysctl("fs.inotify.max_queued_events")),
                        std::nullopt});
    return true;
  }
  if ((event.mask & IN_IGNORED) != 0) return watch_ended(event.wd, end_watch, out);
  const auto entry = dir_of_.find(event.wd);
  if (entry == dir_of_.end()) return false;
  const DirId dir = entry->second;
  // A tree does not cross mounts: what is unmounted is its root's filesystem.
  if ((event.mask & IN_UNMOUNT) != 0) out.root_gone = true;
  if (dir == root_dir && (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0) out.root_gone = true;
  uint32_t bits = bits_of(event.mask);
  if (event.name.empty()) bits |= hint_self | hint_directory;
  append_hint(out, bits, dir, event.name, 0);
  return true;
}

void InotifyTable::translate(std::string_view buffer, const EndWatch& end_watch, Drained& out) {
  Event event;
  while (!buffer.empty()) {
    if (!next(buffer, event)) {
      out.lost.push_back({"the kernel's event records could not be read", std::nullopt});
      return;
    }
    ++out.events;
    if (!translate_one(event, end_watch, out)) ++out.foreign;
  }
}

}  // namespace repl::watch
