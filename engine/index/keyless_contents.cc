#include "engine/index/keyless_contents.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"

namespace repl {

namespace {
size_t bytes_of(const KeylessContent& content) {
  return content.blocks.size() + content.signature.size();
}
}  // namespace

const KeylessContent* KeylessContents::find(const Digest& content) const {
  const auto at = std::ranges::find(contents_, content, &KeylessContent::content);
  return at == contents_.end() ? nullptr : &*at;
}

void KeylessContents::put(KeylessContent content) {
  static_cast<void>(take(content.content));
  bytes_ += bytes_of(content);
  contents_.push_back(std::move(content));
  while (contents_.size() > limits::index_keyless_contents_max ||
         bytes_ > limits::index_keyless_bytes_max) {
    bytes_ -= bytes_of(contents_.front());
    contents_.pop_front();
  }
}

std::optional<KeylessContent> KeylessContents::take(const Digest& content) {
  const auto at = std::ranges::find(contents_, content, &KeylessContent::content);
  if (at == contents_.end()) return std::nullopt;
  KeylessContent taken = std::move(*at);
  contents_.erase(at);
  bytes_ -= bytes_of(taken);
  return taken;
}

void KeylessContents::clear() {
  contents_.clear();
  bytes_ = 0;
}

}  // namespace repl
