// What an index answers: records of keys, and listings whose parts are bounded and in name order.
#include "engine/index/listing.h"

#include "tests/unit/index/index_fixture.h"

namespace repl {
namespace {

class ListingTest : public IndexTest {
 protected:
  std::vector<DirectoryListing> parts_of(DirId dir) {
    std::vector<DirectoryListing> parts;
    list_directory(*index_, dir, [&](DirectoryListing part) { parts.push_back(std::move(part)); });
    return parts;
  }
};

TEST_F(ListingTest, UnknownDirectoryIsOnePartThatSaysSo) {
  const auto parts = parts_of(DirId{77});
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].dir, DirId{77});
  EXPECT_FALSE(parts[0].known);
  EXPECT_TRUE(parts[0].last);
}

TEST_F(ListingTest, EmptyRootIsKnown) {
  const auto parts = parts_of(root_dir);
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_TRUE(parts[0].known && parts[0].last && parts[0].children.empty());
}

TEST_F(ListingTest, PartsAreBoundedAndInOrder) {
  const size_t count = limits::records_per_message_max + 5;
  for (size_t i = 0; i < count; ++i) index_->put(at(1, "f" + std::to_string(i)), file_entry(1));
  const auto parts = parts_of(root_dir);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_FALSE(parts[0].last);
  EXPECT_TRUE(parts[1].last);
  EXPECT_EQ(parts[0].children.size(), limits::records_per_message_max);
  EXPECT_EQ(parts[1].children.size(), 5u);
  std::string before;
  for (const auto& part : parts) {
    for (const KeyInfo& info : part.children) {
      EXPECT_LT(before, info.name);
      before = info.name;
    }
  }
}

TEST_F(ListingTest, ExactlyOneFullPartIsEndedByAnEmptyOne) {
  for (size_t i = 0; i < limits::records_per_message_max; ++i)
    index_->put(at(1, "f" + std::to_string(i)), file_entry(1));
  const auto parts = parts_of(root_dir);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_TRUE(parts[1].last && parts[1].known && parts[1].children.empty());
}

TEST_F(ListingTest, KeysAreAnsweredInOrderWithWhatIsThere) {
  index_->put(at(1, "d"), dir_entry(1, 5));
  Entry file = file_entry(1, 12, 9);
  file.attr.link.value = 3;
  file.attr.link_names = 2;
  index_->put(at(5, "f"), file);
  const AskKeys ask{.keys = {at(5, "f"), at(5, "none"), at(1, "d")}};
  const KeysAnswer answer = keys_answer(*index_, ask);
  EXPECT_EQ(answer.keys, ask.keys);
  ASSERT_EQ(answer.infos.size(), 3u);
  EXPECT_EQ(answer.infos[0].type, FileType::regular);
  EXPECT_EQ(answer.infos[0].size, 12u);
  EXPECT_EQ(answer.infos[0].content, file.attr.content);
  EXPECT_EQ(answer.infos[0].link, LinkId{3});
  EXPECT_EQ(answer.infos[0].hash, *index_->content_hash(at(5, "f")));
  EXPECT_EQ(answer.infos[0].identity, *index_->identity_hash(at(5, "f")));
  EXPECT_EQ(answer.infos[1].type, FileType::none);
  EXPECT_EQ(answer.infos[2].dir, DirId{5});
  EXPECT_EQ(answer.infos[2].hash, *index_->content_hash(at(1, "d")));
}

}  // namespace
}  // namespace repl
