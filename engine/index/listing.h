// listing.h: what an index answers to a peer that compares: the records of keys, and the children
// of directories in bounded messages.
//
// Either side of a pair answers so. Thread: the index's owner. Bounds: a part holds at most
// limits::records_per_message_max children; one part is in memory here at a time.
#pragma once

#include <functional>

#include "engine/index/index.h"
#include "engine/model/message.h"

namespace repl {

// `name` is left empty. `entry` is what the index has for the key.
[[nodiscard]] KeyInfo key_info(const Index& index, const Key& key, const Entry& entry);
// FileType::none for a key that is not there.
[[nodiscard]] KeysAnswer keys_answer(const Index& index, const AskKeys& ask);
// In name order. A directory that is not known is one part that says so.
void list_directory(const Index& index, DirId dir,
                    const std::function<void(DirectoryListing)>& send);

}  // namespace repl
