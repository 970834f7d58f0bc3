#include "engine/send/copy_search.h"

#include <gtest/gtest.h>

#include "engine/base/limits.h"
#include "tests/unit/send/model_receiver.h"

namespace repl::send {
namespace {

constexpr uint64_t file_bytes = 40ull << 30;
const Key copied{root_dir, "new"};

// Zeros, on disk or a hole.
struct Zeros final : ContentSource {
  bool hole = false;
  struct Handle final : ContentHandle {
    io::Stat stat;
    bool hole = false;
    const io::Stat& opened() const override { return stat; }
    Result<size_t> read_at(uint64_t offset, char* buffer, size_t size) override {
      const size_t n = std::min<uint64_t>(size, stat.attr.size - offset);
      std::memset(buffer, 0, n);
      return n;
    }
    Result<io::DataRange> next_data(uint64_t offset, uint64_t size) override {
      return io::DataRange{.start = hole ? size : offset, .end = size};
    }
    Result<io::Stat> stat_again() override { return stat; }
    Result<Attributes> attributes() override { return stat.attr; }
  };
  Result<std::unique_ptr<ContentHandle>> open(const Key&) override {
    auto handle = std::make_unique<Handle>();
    handle->stat.attr = {.type = FileType::regular, .size = file_bytes};
    handle->hole = hole;
    return handle;
  }
  bool leads_to(const Key&, const io::Stat&) override { return true; }
};

// Images of one size that are empty but for their last blocks.
struct Images : testing::Test {
  TempIndex index;
  Zeros source;
  PeerContents peer{*index.index};
  Images() {
    peer.begin(CutNumber{1}, [](const Key&) { return false; });
  }
  Digest add(const std::string& name, uint64_t last_blocks) {
    const Attributes attr{.type = FileType::regular, .size = file_bytes};
    std::vector<Digest> table(file_bytes / limits::block_bytes,
                              hash_bytes(std::string(limits::block_bytes, '\0')));
    std::fill(table.end() - static_cast<long>(last_blocks), table.end(), hash_bytes(name));
    Entry entry{.attr = attr, .cut = CutNumber{1}};
    entry.attr.content = digest_of_blocks(table);
    index->put({root_dir, name}, entry);
    index->put_block_table(entry.attr.content, table);
    return entry.attr.content;
  }
  std::unique_ptr<CopySearch> begin() {
    index->put(copied,
               Entry{.attr = {.type = FileType::regular, .size = file_bytes}, .cut = CutNumber{2}});
    return CopySearch::begin(*index.index, peer, source, copied);
  }
};

TEST_F(Images, AsManyTablesAsThereIsRoomFor) {
  for (int n = 0; n < 8; ++n) add("image" + std::to_string(n), 3);
  const auto search = begin();
  ASSERT_TRUE(search);
  EXPECT_GT(search->table_bytes(), file_bytes / limits::block_bytes * sizeof(Digest));
  EXPECT_LE(search->table_bytes(), limits::copy_search_table_bytes_max);
}

// What shows in a sample to be another takes no room.
TEST_F(Images, OthersTakeNoRoom) {
  for (int n = 0; n < 8; ++n)
    add("image" + std::to_string(n), file_bytes / limits::block_bytes / 2);
  EXPECT_FALSE(begin());
  const Digest same = add("same", 0);
  source.hole = true;
  const auto search = begin();
  ASSERT_TRUE(search);
  EXPECT_EQ(search->table_bytes(), file_bytes / limits::block_bytes * sizeof(Digest));
  size_t passed = 0;
  while (search->step(limits::stream_step_bytes) == CopySearch::Step::more) {
    ASSERT_LE((search->blocks().size() - passed) * limits::block_bytes, limits::hole_step_bytes);
    passed = search->blocks().size();
  }
  EXPECT_EQ(search->digest(), same);
}

}  // namespace
}  // namespace repl::send
