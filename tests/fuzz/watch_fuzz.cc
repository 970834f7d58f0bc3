// What read(2) gives of a fanotify or inotify descriptor: no length in it is believed. Input: the
// buffer.
#include <cstdint>
#include <string_view>

#include "engine/base/check.h"
#include "engine/watch/fanotify_decode.h"
#include "engine/watch/handle_inode.h"
#include "engine/watch/inotify_table.h"

using namespace repl;
using namespace repl::watch;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view buffer(reinterpret_cast<const char*>(data), size);
  const auto inside = [&](std::string_view view) {
    REPL_CHECK(view.empty() || (view.data() >= buffer.data() &&
                                view.data() + view.size() <= buffer.data() + buffer.size()));
  };
  FanotifyDecoder decoder(buffer);
  FanotifyEvent event;
  while (decoder.next(event)) {
    for (const auto* place : {&event.place, &event.old_place, &event.new_place}) {
      if (!*place) continue;
      inside((*place)->dir);
      inside((*place)->name);
    }
    inside(event.child);
  }
  InotifyTable table;
  for (int wd = 1; wd <= 4; ++wd) (void)table.set(wd, DirId{static_cast<uint64_t>(wd)});
  Drained drained;
  table.translate(buffer, [](int) { return true; }, drained);
  REPL_CHECK(table.size() <= 4);
  (void)inode_in_handle(buffer);
  return 0;
}
