// cut.h: one cut as the primary made it, shared by the senders of all peers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ids.h"
#include "engine/model/entry.h"
#include "engine/model/key.h"

namespace repl {

struct CutItem {
  Key key;
  bool removed = false;
  bool content_changed = false;  // regular files: new, or the bytes may differ from the base
  // What was under the key goes: it is removed, another object took its place, or it was truncated.
  bool destroys = false;
  bool unsent = false;  // whatever peers hold under the key, it is not what the log says: no delta
  Attributes attr;      // what the key is now; attr.content may be unset for large contents
  // What a peer at the previous cut holds under the key, also if it is removed; unset: nothing, or
  // it is not known.
  Digest base_content;
  uint64_t base_size = 0;
  std::shared_ptr<const std::string> bytes;  // the whole content, if it is small and changed
  std::optional<Key>
      copy_from;  // the content was seen to come from there (move); as of the previous cut
};

// Items are ordered as Records wants them: directories before what is in them, names of one link
// group together, the first of them carrying the content.
struct CutBatch {
  CutNumber cut;
  bool ordered = true;  // exact; then, without items: the cut before it is the state of now
  bool by_log = false;  // after a scan: no items, the index's log of changes names the keys
  std::vector<CutItem> items;
  Fingerprint content;  // of the root, after this cut
  bool content_known = false;
};

}  // namespace repl
