#include "engine/send/streamed_contents.h"

#include <utility>

namespace repl::send {

namespace {
constexpr size_t contents_max = 256;
constexpr size_t blocks_max = 1 << 20;  // 16 MiB, of 64 GiB of content
}  // namespace

const StreamedContent* StreamedContents::find(const Key& key) const {
  const auto at = contents_.find(key);
  return at == contents_.end() ? nullptr : &at->second;
}

void StreamedContents::remember(const Key& key, StreamedContent content) {
  const size_t more = content.blocks.size();
  if (contents_.size() >= contents_max || blocks_ + more > blocks_max) {
    contents_.clear();
    blocks_ = 0;
  }
  if (more > blocks_max) return;
  StreamedContent& place = contents_[key];
  blocks_ += more - place.blocks.size();
  place = std::move(content);
}

void StreamedContents::forget(const Record& record) {
  if (contents_.empty()) return;
  const Key* key = nullptr;
  if (const auto* put = std::get_if<Put>(&record)) {
    const bool stays =
        put->attr.type == FileType::regular && std::holds_alternative<ContentNone>(put->content);
    if (!stays) key = &put->key;
  } else if (const auto* removed = std::get_if<Remove>(&record)) {
    key = &removed->key;
  }
  const auto at = key != nullptr ? contents_.find(*key) : contents_.end();
  if (at == contents_.end()) return;
  blocks_ -= at->second.blocks.size();
  contents_.erase(at);
}

}  // namespace repl::send
