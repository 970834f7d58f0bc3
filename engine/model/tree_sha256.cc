#include "engine/model/tree_sha256.h"

#include <fmt/core.h>

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/model/hash.h"

namespace repl {

TreeSha256::TreeSha256() { tree_.update("repl tree 1\n"); }

void TreeSha256::entry(size_t depth, std::string_view name, const Attributes& attr) {
  REPL_CHECK(!in_file_);
  record_.clear();
  ByteWriter out(record_);
  out.u8(1);
  out.varint(depth);
  out.string(name);
  append_compared(record_, attr);
  out.varint(attr.link_names);
  out.varint(group_of(attr));
  tree_.update(record_);
  ++entries_;
  in_file_ = attr.type == FileType::regular;
}

void TreeSha256::end_file() {
  REPL_CHECK(in_file_);
  tree_.update(content_.finish());
  in_file_ = false;
}

// Which names belong together is the same on every node; the ids that say so need not be.
uint64_t TreeSha256::group_of(const Attributes& attr) {
  if (attr.link_names < 2 || !attr.link.is_set()) return 0;
  const auto [at, fresh] = groups_.try_emplace(attr.link.value);
  if (fresh) at->second = Group{.number = ++groups_seen_, .names_left = attr.link_names};
  const uint64_t number = at->second.number;
  if (--at->second.names_left == 0) groups_.erase(at);
  return number;
}

std::string TreeSha256::finish() {
  REPL_CHECK(!in_file_);
  record_.clear();
  ByteWriter out(record_);
  out.u8(0);
  out.u64(entries_);
  tree_.update(record_);
  std::string hex;
  for (const char byte : tree_.finish()) {
    hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  }
  return hex;
}

}  // namespace repl
