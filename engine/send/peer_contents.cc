#include "engine/send/peer_contents.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"

namespace repl::send {

namespace {
constexpr size_t sources_max = 8;     // keys of one content that are looked at
constexpr size_t same_size_max = 64;  // keys of one size that are looked at
}  // namespace

void PeerContents::begin(CutNumber peer_at, std::function<bool(const Key&)> lacks) {
  peer_at_ = peer_at;
  lacks_ = std::move(lacks);
  held_.clear();
}

void PeerContents::add(const Key& key, const Digest& content, uint64_t size) {
  if (content.is_set() && size > limits::inline_bytes_max) {
    held_.emplace(size, Held{.key = key, .content = content});
  }
}

std::optional<Digest> PeerContents::unchanged(const Key& key) const {
  const std::optional<Entry> entry = index_.get(key);
  if (!entry || entry->cut > peer_at_ || lacks_(key)) return std::nullopt;
  return entry->attr.content;
}

std::optional<Key> PeerContents::key_of(const Digest& content, uint64_t size,
                                        const Key& except) const {
  const size_t sources = peer_at_.is_set() ? sources_max : 0;
  for (Key& key : index_.keys_of_content(content, sources)) {
    if (key != except && unchanged(key) == content) return std::move(key);
  }
  const auto [first, last] = held_.equal_range(size);
  const auto at = std::find_if(first, last, [&](const auto& held) {
    return held.second.content == content && held.second.key != except;
  });
  return at == last ? std::nullopt : std::optional(at->second.key);
}

std::vector<Digest> PeerContents::of_size(uint64_t size, const Key& except) const {
  std::vector<Digest> contents;
  const auto add_once = [&](const Digest& content) {
    if (std::ranges::find(contents, content) == contents.end()) contents.push_back(content);
  };
  const size_t same_size = peer_at_.is_set() ? same_size_max : 0;
  for (const Key& key : index_.keys_of_size(size, same_size)) {
    const auto content = key == except ? std::nullopt : unchanged(key);
    if (content) add_once(*content);
  }
  auto [at, last] = held_.equal_range(size);
  for (; at != last && contents.size() < same_size_max; ++at) {
    if (at->second.key != except) add_once(at->second.content);
  }
  return contents;
}

}  // namespace repl::send
