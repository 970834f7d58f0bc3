#include "engine/send/small_content.h"

#include <utility>

#include "engine/base/limits.h"

namespace repl::send {

namespace {

Result<std::string> read_all(ContentHandle& handle) {
  std::string bytes(handle.opened().attr.size, '\0');
  const Result<size_t> got = handle.read_at(0, bytes.data(), bytes.size());
  if (!got) return fail(got.error());
  bytes.resize(*got);
  return bytes;
}

Result<bool> held_still(ContentSource& source, const Key& key, const SmallContent& content) {
  const io::Stat& opened = content.handle->opened();
  if (content.bytes.size() != opened.attr.size) return false;
  if (is_racy(opened.local)) {
    const Result<std::string> again = read_all(*content.handle);
    if (!again) return fail(again.error());
    if (*again != content.bytes) return false;
  }
  const Result<io::Stat> after = content.handle->stat_again();
  return after && after->attr.size == opened.attr.size && after->attr.mtime == opened.attr.mtime &&
         after->local.ctime == opened.local.ctime && source.leads_to(key, opened);
}

}  // namespace

Result<SmallContent> read_small(ContentSource& source, const Key& key) {
  SmallContent content;
  for (int tries = 0; tries < limits::stable_read_tries_max && !content.stable; ++tries) {
    Result<std::unique_ptr<ContentHandle>> handle = source.open(key);
    if (!handle) return fail(handle.error());
    content.handle = std::move(*handle);
    content.too_large = content.handle->opened().attr.size > limits::inline_bytes_max;
    if (content.too_large) break;
    Result<std::string> bytes = read_all(*content.handle);
    if (!bytes) return fail(bytes.error());
    content.bytes = std::move(*bytes);
    const Result<bool> stable = held_still(source, key, content);
    if (!stable) return fail(stable.error());
    content.stable = *stable;
  }
  return content;
}

}  // namespace repl::send
