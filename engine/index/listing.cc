#include "engine/index/listing.h"

#include <optional>
#include <string>
#include <utility>

#include "engine/base/limits.h"

namespace repl {

KeyInfo key_info(const Index& index, const Key& key, const Entry& entry) {
  KeyInfo info;
  info.type = entry.attr.type;
  info.hash = index.content_hash(key).value_or(Bits128{});
  info.identity = index.identity_hash(key).value_or(Bits128{});
  info.content = entry.attr.content;
  info.size = entry.attr.size;
  info.dir = entry.attr.dir;
  info.link = entry.attr.link;
  return info;
}

KeysAnswer keys_answer(const Index& index, const AskKeys& ask) {
  KeysAnswer answer;
  answer.keys = ask.keys;
  for (const Key& key : ask.keys) {
    const std::optional<Entry> entry = index.get(key);
    answer.infos.push_back(entry ? key_info(index, key, *entry) : KeyInfo{});
  }
  return answer;
}

void list_directory(const Index& index, DirId dir,
                    const std::function<void(DirectoryListing)>& send) {
  if (dir != root_dir && !index.place_of(dir)) {
    send(DirectoryListing{.dir = dir, .known = false});
    return;
  }
  std::string after;
  for (bool last = false; !last;) {
    const auto children = index.children_after(dir, after, limits::records_per_message_max);
    last = children.size() < limits::records_per_message_max;
    DirectoryListing listing{.dir = dir, .last = last};
    for (const auto& [name, entry] : children) {
      listing.children.push_back(key_info(index, Key{.dir = dir, .name = name}, entry));
      listing.children.back().name = name;
    }
    if (!children.empty()) after = children.back().first;
    send(std::move(listing));
  }
}

}  // namespace repl
