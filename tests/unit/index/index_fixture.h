// index_fixture.h: an index in a temporary directory, and small entries for it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "engine/index/index.h"
#include "engine/model/hash.h"

namespace repl {

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/repl-index-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline constexpr uint64_t test_seed = 42;

inline Entry file_entry(uint64_t cut, uint64_t size = 3, uint64_t content = 7, uint64_t inode = 0) {
  Entry entry;
  entry.attr.type = FileType::regular;
  entry.attr.mode = 0644;
  entry.attr.size = size;
  entry.attr.content = Digest{Bits128{.high = content == 0 ? 0u : 1u, .low = content}};
  entry.local.inode = inode;
  entry.cut.value = cut;
  return entry;
}

inline Entry dir_entry(uint64_t cut, uint64_t id, const std::string& handle = {}) {
  Entry entry;
  entry.attr.type = FileType::directory;
  entry.attr.mode = 0755;
  entry.attr.dir.value = id;
  entry.local.handle = handle;
  entry.cut.value = cut;
  return entry;
}

inline Key at(uint64_t dir, std::string name) {
  return {.dir = DirId{dir}, .name = std::move(name)};
}

class IndexTest : public testing::Test {
 protected:
  void open(const IndexOptions& options = {}) {
    index_.reset();
    auto opened = Index::open(directory(), test_seed, options);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    index_ = std::move(*opened);
  }
  void SetUp() override { open(); }
  void flush() {
    const Status done = index_->flush();
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }
  void expect_sound() { EXPECT_THAT(index_->check(), testing::IsEmpty()); }
  [[nodiscard]] std::string directory() const { return temp_.path() + "/index"; }
  // "cut dir name" or "cut dir name -" for each change.
  [[nodiscard]] std::vector<std::string> changes(uint64_t since) const {
    std::vector<std::string> list;
    const bool reached = index_->changes_since(CutNumber{since}, [&](const Change& change) {
      list.push_back(std::to_string(change.cut.value) + " " + std::to_string(change.key.dir.value) +
                     " " + change.key.name + (change.removed ? " -" : ""));
      return true;
    });
    if (!reached) list.emplace_back("too old");
    return list;
  }

  TempDir temp_;
  std::unique_ptr<Index> index_;
};

}  // namespace repl
