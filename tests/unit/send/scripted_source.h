// scripted_source.h: files in memory that can grow, shrink, change or vanish while they are read.
#pragma once

#include <cstring>
#include <map>
#include <memory>

#include "engine/send/content_source.h"

namespace repl::send {

struct ScriptedFile {
  std::string bytes;
  Attributes attr;
  uint64_t inode = 0;
  int64_t ctime = 1;
  int64_t age_ns = 1'000'000'000;    // of ctime, when it is seen
  std::vector<io::DataRange> holes;  // [start, end) reported as holes; the bytes there are zeros
  std::function<void(ScriptedFile&)> on_read;  // called before each read
  std::optional<Error> read_error;
  size_t reads = 0;
  [[nodiscard]] io::Stat stat() const {
    io::Stat s;
    s.attr = attr;
    s.attr.type = FileType::regular;
    s.attr.size = bytes.size();
    s.attr.content = {};
    s.local.inode = inode;
    s.local.ctime.seconds = ctime;
    s.local.seen_wall_ns = ctime * 1'000'000'000 + age_ns;
    return s;
  }
};

class ScriptedHandle final : public ContentHandle {
 public:
  explicit ScriptedHandle(std::shared_ptr<ScriptedFile> file)
      : file_(std::move(file)), opened_(file_->stat()) {}
  const io::Stat& opened() const override { return opened_; }
  Result<size_t> read_at(uint64_t offset, char* buffer, size_t size) override {
    ++file_->reads;
    if (file_->on_read) file_->on_read(*file_);
    if (file_->read_error) return fail(*file_->read_error);
    const size_t from = std::min<size_t>(offset, file_->bytes.size());
    const size_t n = std::min(size, file_->bytes.size() - from);
    std::memcpy(buffer, file_->bytes.data() + from, n);
    return n;
  }
  Result<io::DataRange> next_data(uint64_t offset, uint64_t size) override {
    uint64_t end = size;
    for (const io::DataRange& hole : file_->holes) {
      if (offset >= hole.start && offset < hole.end) offset = hole.end;
      if (hole.start > offset) end = std::min(end, hole.start);
    }
    return io::DataRange{.start = std::min(offset, size), .end = end};
  }
  Result<io::Stat> stat_again() override { return file_->stat(); }
  Result<Attributes> attributes() override { return file_->stat().attr; }

 private:
  std::shared_ptr<ScriptedFile> file_;
  io::Stat opened_;
};

class ScriptedSource final : public ContentSource {
 public:
  std::map<Key, std::shared_ptr<ScriptedFile>> files;
  Result<std::unique_ptr<ContentHandle>> open(const Key& key) override {
    const auto it = files.find(key);
    if (it == files.end()) return fail(ErrorCode::not_found, "gone");
    return std::make_unique<ScriptedHandle>(it->second);
  }
  bool leads_to(const Key& key, const io::Stat& opened) override {
    const auto it = files.find(key);
    return it != files.end() && it->second->inode == opened.local.inode;
  }
};

}  // namespace repl::send
