// fanotify_decode.h: cuts a buffer read from a fanotify descriptor into events. Pure, and total: no
// length in the buffer is believed before it is checked.
//
// Layout (linux/fanotify.h, fanotify(7)): fanotify_event_metadata, then information records, each
// of { u8 type; u8 pad; u16 len }. The identifying ones go on with { u8 fsid[8]; struct
// file_handle; [name\0] }.
//
// Thread: none. Views point into the caller's buffer.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace repl::watch {

// A handle as the index stores it: handle_type (4 bytes, little-endian), then the handle's bytes.
// struct file_handle holds both side by side, so it is a view.
using HandleView = std::string_view;

struct DirAndName {
  HandleView dir;
  std::string_view name;  // empty: the directory itself (the kernel says "." or no name at all)
};

struct FanotifyEvent {
  uint64_t mask = 0;
  int pid = 0;
  int fd = -1;                      // never one with our flags; the caller closes what is >= 0
  std::optional<DirAndName> place;  // FAN_EVENT_INFO_TYPE_DFID_NAME or _DFID
  std::optional<DirAndName>
      old_place;  // FAN_RENAME: the end that was; absent if that end is not watched
  std::optional<DirAndName> new_place;
  HandleView child;  // FAN_EVENT_INFO_TYPE_FID: the object itself; empty: not reported
};

class FanotifyDecoder {
 public:
  explicit FanotifyDecoder(std::string_view buffer) : rest_(buffer) {}

  // False at the end, or where the buffer makes no sense: then malformed() is true and what follows
  // is unread.
  [[nodiscard]] bool next(FanotifyEvent& event);
  [[nodiscard]] bool malformed() const { return malformed_; }

 private:
  bool fail();
  std::string_view rest_;
  bool malformed_ = false;
};

}  // namespace repl::watch
