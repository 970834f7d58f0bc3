// content_source.h: where a sender reads from: keys and what stat says of them. FsContentSource is
// the tree on disk; tests script their own.
//
// Thread: one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/base/error.h"
#include "engine/io/backend.h"
#include "engine/io/dir_cache.h"
#include "engine/io/fs_ops.h"
#include "engine/model/key.h"

namespace repl::send {

// A regular file that is held open: what it is does not change with its name.
class ContentHandle {
 public:
  virtual ~ContentHandle() = default;
  // As it was when it was opened.
  [[nodiscard]] virtual const io::Stat& opened() const = 0;
  // Short only at the end of the file.
  [[nodiscard]] virtual Result<size_t> read_at(uint64_t offset, char* buffer, size_t size) = 0;
  // As io::next_data.
  [[nodiscard]] virtual Result<io::DataRange> next_data(uint64_t offset, uint64_t size) = 0;
  [[nodiscard]] virtual Result<io::Stat> stat_again() = 0;
  // All replicated attributes of the inode now, but content, link and link_names.
  [[nodiscard]] virtual Result<Attributes> attributes() = 0;
};

// Of a file that changed while it was read.
[[nodiscard]] Error did_not_hold_still();

class ContentSource {
 public:
  virtual ~ContentSource() = default;
  // `not_found` or `changed` when the key no longer leads to a regular file; other codes: it cannot
  // be read.
  [[nodiscard]] virtual Result<std::unique_ptr<ContentHandle>> open(const Key& key) = 0;
  // Whether the key still leads to the inode that was opened.
  [[nodiscard]] virtual bool leads_to(const Key& key, const io::Stat& opened) = 0;
};

class FsContentSource final : public ContentSource {
 public:
  // `name_owners` (ids = "name") fills Attributes::owner and group from uid and gid; may be empty.
  FsContentSource(io::DirCache& dirs, io::Backend& backend,
                  std::function<void(Attributes&)> name_owners = {});
  [[nodiscard]] Result<std::unique_ptr<ContentHandle>> open(const Key& key) override;
  [[nodiscard]] bool leads_to(const Key& key, const io::Stat& opened) override;

 private:
  io::DirCache& dirs_;
  io::Backend& backend_;
  std::function<void(Attributes&)> name_owners_;
};

}  // namespace repl::send
