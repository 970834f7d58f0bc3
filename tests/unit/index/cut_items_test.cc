#include "engine/index/cut_items.h"

#include "tests/unit/index/index_fixture.h"

namespace repl {
namespace {

struct CutItemsTest : IndexTest {
  CutItems items;
  void put(const Key& key, Entry entry, LinkId link = {}) {
    entry.attr.link = link;
    ASSERT_TRUE(index_->put(key, entry));
  }
  void add(const Key& key, bool content_changed = false) {
    const auto entry = index_->get(key);
    items.emplace(key, CutItem{.key = key,
                               .removed = !entry,
                               .content_changed = content_changed,
                               .attr = entry ? entry->attr : Attributes{},
                               .bytes = {},
                               .copy_from = {}});
  }
  std::vector<std::string> ordered(const std::function<bool(CutItem&)>& wanted) {
    std::vector<std::string> names;
    for (const CutItem& item : in_order(items, *index_, wanted)) names.push_back(item.key.name);
    return names;
  }
};

TEST_F(CutItemsTest, InOrder) {
  put(root_key, dir_entry(1, root_dir.value));
  put(at(1, "z"), dir_entry(1, 100));
  put(at(100, "inner"), dir_entry(1, 101));
  for (const char* name : {"a", "b", "c"}) put(at(101, name), file_entry(1));
  put(at(1, "known"), file_entry(1), LinkId{5});
  put(at(1, "joins"), file_entry(1), LinkId{5});
  add(at(1, "gone"));
  add(at(101, "b"));
  add(at(1, "joins"), true);
  add(at(101, "a"));
  add(at(100, "inner"));
  add(at(1, "known"));
  add(root_key);
  add(at(1, "z"));
  add(at(101, "c"));
  add(at(77, "nowhere"));
  EXPECT_THAT(ordered([](const CutItem& item) { return item.key.name != "c"; }),
              testing::ElementsAre("", "z", "inner", "a", "b", "known", "joins", "gone"));
}

TEST_F(CutItemsTest, LinkGroupsAreComplete) {
  put(root_key, dir_entry(1, root_dir.value));
  put(at(1, "changed"), file_entry(3), LinkId{5});
  put(at(1, "stays"), file_entry(1, 3, 9), LinkId{5});
  put(at(1, "later"), file_entry(4), LinkId{5});
  put(at(1, "other"), file_entry(1), LinkId{6});
  add(at(1, "changed"), true);
  complete_link_groups(items, *index_, CutNumber{3});
  ASSERT_EQ(items.size(), 2u);
  const CutItem& stays = items.at(at(1, "stays"));
  EXPECT_FALSE(stays.content_changed);
  EXPECT_EQ(stays.base_content, stays.attr.content);
  EXPECT_EQ(stays.base_size, 3u);
  EXPECT_TRUE(items.at(at(1, "changed")).content_changed);
}

}  // namespace
}  // namespace repl
