#include "engine/index/index.h"

#include "engine/index/keyless_contents.h"
#include "tests/unit/index/index_fixture.h"

namespace repl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(IndexTest, EntryComesBackInEveryField) {
  Entry entry;
  entry.attr = {.type = FileType::symlink,
                .mode = 07777,
                .uid = UINT32_MAX,
                .gid = 5,
                .owner = "alice",
                .group = "staff",
                .mtime = {.seconds = -7, .nanoseconds = 999'999'999},
                .size = UINT64_MAX,
                .rdev = 77,
                .target = std::string("a\n\xff", 3),
                .xattrs = std::string(100'000, 'x'),
                .content = Digest{Bits128{.high = 3, .low = 4}},
                .dir = {},
                .link = LinkId{9},
                .link_names = 3};
  entry.local = {.ctime = {.seconds = 1, .nanoseconds = 2},
                 .inode = UINT64_MAX,
                 .birth = {.seconds = 5, .nanoseconds = 6},
                 .handle = "h",
                 .seen_wall_ns = -9};
  entry.cut.value = UINT64_MAX - 1;
  const std::string name(255, '\x01');
  ASSERT_TRUE(index_->put(at(1, name), entry));
  flush();
  open();
  const auto back = index_->get(at(1, name));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->attr, entry.attr);
  EXPECT_EQ(back->local, entry.local);
  EXPECT_EQ(back->cut, entry.cut);
  expect_sound();
}

TEST_F(IndexTest, RefusesWhatHasNoPlace) {
  EXPECT_FALSE(index_->put(at(9, "a"), file_entry(1)));
  EXPECT_FALSE(index_->put(at(0, "a"), file_entry(1)));
  EXPECT_FALSE(index_->put(at(1, ".."), file_entry(1)));
  EXPECT_FALSE(index_->put(at(1, "a/b"), file_entry(1)));
  EXPECT_FALSE(index_->put(at(1, std::string(256, 'a')), file_entry(1)));
  EXPECT_FALSE(index_->put(at(1, "a"), Entry{}));
  EXPECT_FALSE(index_->put(at(1, "a"), dir_entry(1, 0)));
  EXPECT_FALSE(index_->put(at(1, "a"), dir_entry(1, 1)));
  EXPECT_FALSE(index_->put(root_key, file_entry(1)));
  EXPECT_EQ(index_->pending(), 0u);
  EXPECT_FALSE(index_->get(at(1, std::string(5000, 'a'))).has_value());
  EXPECT_THAT(index_->children_after(root_dir, std::string(5000, 'a'), 3), IsEmpty());
  EXPECT_FALSE(index_->dir_of_handle(std::string(5000, 'a')).has_value());
  expect_sound();
}

TEST_F(IndexTest, MovedDirectoryKeepsItsSubtreeAndFingerprint) {
  ASSERT_TRUE(index_->put(at(1, "a"), dir_entry(1, 2, "handle")));
  ASSERT_TRUE(index_->put(at(2, "f"), file_entry(1)));
  ASSERT_TRUE(index_->put(at(1, "b"), dir_entry(1, 3)));
  const auto before = index_->summary(DirId{2});
  flush();
  EXPECT_FALSE(index_->can_move(DirId{3}, DirId{3}));
  EXPECT_TRUE(index_->can_move(DirId{2}, DirId{3}));
  ASSERT_TRUE(index_->put(at(3, "moved"), dir_entry(2, 2, "handle")));
  EXPECT_FALSE(index_->put(at(2, "loop"), dir_entry(2, 3))) << "below itself";
  EXPECT_EQ(index_->summary(DirId{2})->content, before->content);
  EXPECT_EQ(index_->path_of(at(2, "f")), "b/moved/f");
  EXPECT_EQ(index_->key_of_path("b/moved/f"), at(2, "f"));
  EXPECT_FALSE(index_->key_of_path("b//f").has_value());
  EXPECT_EQ(index_->dir_of_handle("handle"), DirId{2});
  EXPECT_THAT(changes(1), ElementsAre("2 1 a -", "2 3 moved"));
  expect_sound();
}

TEST_F(IndexTest, ParentAndChildChangePlacesThroughDetach) {
  ASSERT_TRUE(index_->put(at(1, "a"), dir_entry(1, 2)));
  ASSERT_TRUE(index_->put(at(2, "b"), dir_entry(1, 3)));
  ASSERT_TRUE(index_->put(at(3, "f"), file_entry(1)));
  EXPECT_FALSE(index_->put(at(3, "b"), dir_entry(2, 2)));
  ASSERT_TRUE(index_->detach_dir(DirId{3}));
  EXPECT_FALSE(index_->detach_dir(DirId{3}));
  EXPECT_EQ(index_->freeze(), nullptr) << "half a move must not become durable";
  EXPECT_FALSE(index_->path_of(at(3, "f")).has_value());
  ASSERT_TRUE(index_->detach_dir(DirId{2}));
  ASSERT_TRUE(index_->put(at(1, "a"), dir_entry(2, 3)));
  ASSERT_TRUE(index_->put(at(3, "b"), dir_entry(2, 2)));
  EXPECT_EQ(index_->path_of(at(3, "f")), "a/f");
  EXPECT_THAT(changes(1), testing::UnorderedElementsAre("2 1 a", "2 3 b", "2 2 b -"));
  flush();
  expect_sound();
}

TEST_F(IndexTest, DetachedAndNotPlacedIsRemoved) {
  ASSERT_TRUE(index_->put(at(1, "a"), dir_entry(1, 2)));
  ASSERT_TRUE(index_->put(at(2, "f"), file_entry(1)));
  ASSERT_TRUE(index_->detach_dir(DirId{2}));
  index_->remove_detached(CutNumber{5});
  EXPECT_EQ(index_->counts().entries, 0u);
  EXPECT_THAT(changes(0), ElementsAre("5 1 a -"));
  flush();
  expect_sound();
}

TEST_F(IndexTest, ChildMovesOverItsOwnParent) {
  ASSERT_TRUE(index_->put(at(1, "a"), dir_entry(1, 2)));
  ASSERT_TRUE(index_->put(at(2, "b"), dir_entry(1, 3)));
  ASSERT_TRUE(index_->put(at(2, "gone"), file_entry(1)));
  ASSERT_TRUE(index_->put(at(3, "f"), file_entry(1)));
  ASSERT_TRUE(index_->put(at(1, "a"), dir_entry(2, 3)));
  EXPECT_EQ(index_->path_of(at(3, "f")), "a/f");
  EXPECT_FALSE(index_->contains(at(2, "gone")));
  EXPECT_FALSE(index_->summary(DirId{2}).has_value());
  EXPECT_THAT(changes(1), ElementsAre("2 1 a")) << "no tombstone in a directory that is gone";
  expect_sound();
}

TEST_F(IndexTest, DeepSubtreeIsRemovedWithoutRecursion) {
  constexpr uint64_t depth = 20'000;
  for (uint64_t i = 1; i <= depth; ++i) {
    ASSERT_TRUE(index_->put(at(i, "d"), dir_entry(1, i + 1)));
  }
  ASSERT_TRUE(index_->put(at(depth + 1, "f"), file_entry(1, 3, 0)));
  EXPECT_EQ(index_->summary(root_dir)->unknown, 1u);
  expect_sound();
  index_->remove(at(1, "d"), CutNumber{2});
  EXPECT_EQ(index_->counts().entries, 0u);
  EXPECT_EQ(index_->root_content(), Fingerprint{});
  expect_sound();
}

TEST_F(IndexTest, SwappedIdsAreRepairedParentsFirst) {
  // The primary has a=2, a/x=4, b=3; here 2 and 3 are swapped, and 4 is b's child.
  ASSERT_TRUE(index_->put(at(1, "a"), dir_entry(1, 3, "ha")));
  ASSERT_TRUE(index_->put(at(1, "b"), dir_entry(1, 2, "hb")));
  ASSERT_TRUE(index_->put(at(3, "x"), dir_entry(1, 5, "hx")));
  ASSERT_TRUE(index_->put(at(5, "f"), file_entry(1, 70'000, 8, 33)));
  const Fingerprint content = index_->root_content();
  flush();
  ASSERT_TRUE(index_->adopt_dir_id(DirId{3}, DirId{2}));
  ASSERT_TRUE(index_->adopt_dir_id(DirId{5}, DirId{4}));
  EXPECT_EQ(index_->path_of(at(4, "f")), "a/x/f");
  EXPECT_EQ(index_->dir_of_handle("ha"), DirId{2});
  EXPECT_EQ(index_->dir_of_handle("hb"), DirId{3});
  EXPECT_EQ(index_->dir_of_handle("hx"), DirId{4});
  EXPECT_THAT(index_->keys_of_inode(33), ElementsAre(at(4, "f")));
  EXPECT_EQ(index_->root_content(), content) << "content knows no ids";
  flush();
  open();
  expect_sound();
  EXPECT_FALSE(index_->adopt_dir_id(DirId{2}, root_dir));
  EXPECT_FALSE(index_->adopt_dir_id(root_dir, DirId{2}));
  EXPECT_FALSE(index_->adopt_dir_id(DirId{77}, DirId{2}));
}

TEST_F(IndexTest, ParentAndChildSwapIds) {
  ASSERT_TRUE(index_->put(at(1, "p"), dir_entry(1, 3)));
  ASSERT_TRUE(index_->put(at(3, "c"), dir_entry(1, 2)));
  ASSERT_TRUE(index_->put(at(2, "f"), file_entry(1)));
  ASSERT_TRUE(index_->adopt_dir_id(DirId{3}, DirId{2}));
  EXPECT_EQ(index_->path_of(at(3, "f")), "p/c/f");
  flush();
  expect_sound();
}

std::vector<Digest> blocks_of(size_t count, std::string_view salt) {
  std::vector<Digest> blocks;
  for (size_t i = 0; i < count; ++i) {
    blocks.push_back(hash_bytes(std::string(salt) + std::to_string(i)));
  }
  return blocks;
}

TEST_F(IndexTest, BlockTableLivesAsLongAsAKeyHasTheContent) {
  const auto blocks = blocks_of(3, "a");
  const Digest content = digest_of_blocks(blocks);
  Entry entry = file_entry(1, 150'000);
  entry.attr.content = content;
  index_->put_block_table(content, blocks);  // before the key
  EXPECT_EQ(index_->block_table(content), blocks);
  ASSERT_TRUE(index_->put(at(1, "a"), entry));
  ASSERT_TRUE(index_->put(at(1, "b"), entry));
  flush();
  open();
  EXPECT_EQ(index_->block_table(content), blocks);
  index_->remove(at(1, "a"), CutNumber{2});
  entry.cut.value = 3;
  ASSERT_TRUE(index_->put(at(1, "b"), entry)) << "the same content again";
  EXPECT_EQ(index_->block_table(content), blocks);
  index_->set_content(at(1, "b"), Digest{Bits128{.high = 1, .low = 1}}, 150'000);
  flush();
  EXPECT_EQ(index_->block_table(content), blocks) << "what the base of a difference was";
  open();
  EXPECT_FALSE(index_->block_table(content).has_value());
  index_->set_content(at(1, "b"), content, 150'000);
  index_->put_block_table(content, blocks);  // after the key
  index_->put_block_table(content, blocks_of(3, "other"));
  EXPECT_EQ(index_->block_table(content), blocks) << "a table that is not the content's";
  EXPECT_THAT(index_->keys_of_content(content, 5), ElementsAre(at(1, "b")));
  flush();
  expect_sound();
}

TEST_F(IndexTest, SignatureLivesAsLongAsAKeyHasTheContent) {
  const Entry entry = file_entry(1, 3'000'000, 9);
  const Digest content = entry.attr.content;
  index_->put_signature(content, "early");
  EXPECT_FALSE(index_->signature(content)) << "no key has it";
  ASSERT_TRUE(index_->put(at(1, "a"), entry));
  index_->put_signature(content, std::string(limits::signature_bytes_max + 1, 'x'));
  EXPECT_FALSE(index_->signature(content)) << "too large";
  index_->put_signature(content, "sums");
  flush();
  open();
  EXPECT_EQ(index_->signature(content), "sums");
  // Removed under one name, there again under another: a move that was not seen as one.
  index_->remove(at(1, "a"), CutNumber{2});
  EXPECT_EQ(index_->signature(content), "sums") << "a peer may have it still";
  ASSERT_TRUE(index_->put(at(1, "b"), file_entry(3, 3'000'000, 9)));
  flush();
  open();
  EXPECT_EQ(index_->signature(content), "sums");
  ASSERT_TRUE(index_->put(at(1, "b"), file_entry(4, 3'000'000, 0)));
  EXPECT_EQ(index_->signature(content), "sums") << "edited, and not sent yet";
  flush();
  expect_sound();
  open();
  EXPECT_FALSE(index_->signature(content));
}

TEST_F(IndexTest, KeysOfASize) {
  constexpr uint64_t large = limits::inline_bytes_max + 1;
  ASSERT_TRUE(index_->put(at(1, "a"), file_entry(1, large, 9)));
  ASSERT_TRUE(index_->put(at(1, "b"), file_entry(1, large, 0)));
  ASSERT_TRUE(index_->put(at(1, "c"), file_entry(1, large + 1, 8)));
  ASSERT_TRUE(index_->put(at(1, "d"), file_entry(1, large - 1, 8)));
  EXPECT_THAT(index_->keys_of_size(large, 5), ElementsAre(at(1, "a")));
  EXPECT_THAT(index_->keys_of_size(large - 1, 5), ElementsAre()) << "small ones are sent";
  index_->set_content(at(1, "b"), file_entry(1, large, 7).attr.content, large);
  EXPECT_THAT(index_->keys_of_size(large, 5), ElementsAre(at(1, "a"), at(1, "b")));
  EXPECT_THAT(index_->keys_of_size(large, 1), ElementsAre(at(1, "a")));
  ASSERT_TRUE(index_->put(at(1, "a"), file_entry(2, large + 5, 9))) << "the digest, another size";
  EXPECT_THAT(index_->keys_of_size(large, 5), ElementsAre(at(1, "b")));
  EXPECT_THAT(index_->keys_of_size(large + 5, 5), ElementsAre(at(1, "a")));
  index_->remove(at(1, "b"), CutNumber{3});
  EXPECT_THAT(index_->keys_of_size(large, 5), ElementsAre());
  flush();
  expect_sound();
}

// What is remembered of contents without a key is bounded, in number and bytes.
TEST(KeylessContents, AreBounded) {
  KeylessContents contents;
  const auto digest = [](uint64_t n) { return Digest{Bits128{.high = 1, .low = n}}; };
  for (uint64_t n = 0; n < limits::index_keyless_contents_max + 5; ++n) {
    contents.put({.content = digest(n), .blocks = "b"});
  }
  EXPECT_EQ(contents.find(digest(4)), nullptr);
  EXPECT_NE(contents.find(digest(5)), nullptr);
  contents.put({.content = digest(5), .blocks = "new"});
  EXPECT_EQ(contents.find(digest(5))->blocks, "new");
  const std::string large(limits::index_keyless_bytes_max / 4, 'x');
  for (uint64_t n = 1000; n < 1005; ++n) contents.put({.content = digest(n), .signature = large});
  EXPECT_EQ(contents.find(digest(5)), nullptr);
  EXPECT_EQ(contents.find(digest(1000)), nullptr);
  EXPECT_NE(contents.find(digest(1001)), nullptr);
  EXPECT_EQ(contents.take(digest(1001))->signature, large);
  EXPECT_FALSE(contents.take(digest(1001)));
  contents.put({.content = digest(1005), .signature = large});
  EXPECT_NE(contents.find(digest(1002)), nullptr) << "what was taken counts no more";
}

TEST_F(IndexTest, LogHoldsEachKeyOnceUnderItsLastCut) {
  ASSERT_TRUE(index_->put(at(1, "a"), file_entry(1)));
  ASSERT_TRUE(index_->put(at(1, "b"), file_entry(2)));
  ASSERT_TRUE(index_->put(at(1, "a"), file_entry(3)));
  index_->remove(at(1, "b"), CutNumber{4});
  index_->put_local(at(1, "a"), LocalStat{.inode = 5});
  flush();
  EXPECT_THAT(changes(0), ElementsAre("3 1 a", "4 1 b -"));
  ASSERT_TRUE(index_->put(at(1, "b"), file_entry(5)));
  EXPECT_THAT(changes(0), ElementsAre("3 1 a", "5 1 b"));
  EXPECT_EQ(index_->counts().tombstones, 0u);
  index_->trim_log(CutNumber{5});
  EXPECT_EQ(index_->log_start(), CutNumber{}) << "nothing was lost";
  index_->remove(at(1, "b"), CutNumber{6});
  index_->remove(at(1, "a"), CutNumber{9});
  index_->trim_log(CutNumber{8});
  EXPECT_EQ(index_->log_start(), CutNumber{6});
  EXPECT_THAT(changes(5), ElementsAre("too old"));
  EXPECT_THAT(changes(6), ElementsAre("9 1 a -"));
  index_->raise_log_start(CutNumber{20});
  flush();
  open();
  EXPECT_THAT(changes(19), ElementsAre("too old"));
  EXPECT_THAT(changes(20), IsEmpty());
  EXPECT_EQ(index_->counts().tombstones, 0u);
  expect_sound();
}

TEST_F(IndexTest, TombstonesAreBounded) {
  open(IndexOptions{.tombstones_max = 10});
  for (uint64_t i = 1; i <= 30; ++i) {
    ASSERT_TRUE(index_->put(at(1, std::to_string(i)), file_entry(1)));
  }
  for (uint64_t i = 1; i <= 30; ++i) index_->remove(at(1, std::to_string(i)), CutNumber{10 + i});
  EXPECT_EQ(index_->counts().tombstones, 10u);
  EXPECT_EQ(index_->log_start(), CutNumber{30});
  EXPECT_EQ(changes(30).size(), 10u);
  expect_sound();
}

TEST_F(IndexTest, TombstonesOfARemovedDirectoryGoWithIt) {
  ASSERT_TRUE(index_->put(at(1, "d"), dir_entry(1, 2)));
  ASSERT_TRUE(index_->put(at(2, "f"), file_entry(1)));
  index_->remove(at(2, "f"), CutNumber{2});
  index_->remove(at(1, "d"), CutNumber{3});
  EXPECT_THAT(changes(0), ElementsAre("3 1 d -"));
  flush();
  expect_sound();
}

TEST_F(IndexTest, ClearKeepsMetaAndTellsPeersToCompare) {
  index_->put_meta("role.a", "1");
  index_->put_meta("role.b", std::string("\0x", 2));
  index_->put_meta("peer", "2");
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(index_->put(at(1, "f" + std::to_string(i)), file_entry(7)));
  }
  flush();
  index_->clear();
  EXPECT_EQ(index_->counts().entries, 0u);
  EXPECT_THAT(index_->children_after(root_dir, "", 10), IsEmpty());
  ASSERT_TRUE(index_->put(at(1, "new"), file_entry(8)));
  flush();
  open();
  EXPECT_EQ(index_->children_after(root_dir, "", 10).size(), 1u);
  EXPECT_THAT(changes(6), ElementsAre("too old"));
  EXPECT_THAT(changes(7), ElementsAre("8 1 new"));
  std::vector<std::string> names;
  index_->for_meta("role.", [&](std::string_view name, std::string_view value) {
    names.push_back(std::string(name) + "=" + std::to_string(value.size()));
  });
  EXPECT_THAT(names, ElementsAre("role.a=1", "role.b=2"));
  index_->remove_meta("peer");
  flush();
  open();
  EXPECT_FALSE(index_->meta("peer").has_value());
  expect_sound();
}

TEST_F(IndexTest, RangesMergeDiskFrozenAndActive) {
  for (int i = 0; i < 900; i += 3) {
    ASSERT_TRUE(index_->put(at(1, "f" + std::to_string(1000 + i)), file_entry(1)));
  }
  flush();
  for (int i = 1; i < 900; i += 3) {
    ASSERT_TRUE(index_->put(at(1, "f" + std::to_string(1000 + i)), file_entry(2)));
  }
  index_->remove(at(1, "f1000"), CutNumber{2});
  const auto batch = index_->freeze();
  for (int i = 2; i < 900; i += 3) {
    ASSERT_TRUE(index_->put(at(1, "f" + std::to_string(1000 + i)), file_entry(3)));
  }
  index_->remove(at(1, "f1001"), CutNumber{3});
  ASSERT_TRUE(index_->put(at(1, "f1000"), file_entry(3)));
  std::string last;
  size_t seen = 0;
  index_->for_children(root_dir, [&](std::string_view name, const Entry&) {
    EXPECT_LT(last, name);
    last = name;
    ++seen;
    return true;
  });
  EXPECT_EQ(seen, 899u);
  const auto some = index_->children_after(root_dir, "f1000", 2);
  ASSERT_EQ(some.size(), 2u);
  EXPECT_EQ(some[0].first, "f1002");
  ASSERT_TRUE(index_->commit(batch).has_value());
  index_->committed(batch);
  EXPECT_EQ(index_->children_after(root_dir, "", 2000).size(), 899u);
  expect_sound();
}

TEST_F(IndexTest, RootRecordCountsInTheRootFingerprint) {
  ASSERT_TRUE(index_->put(at(1, "f"), file_entry(1)));
  const Fingerprint without = index_->root_content();
  Entry root = dir_entry(1, 0, "root handle");
  ASSERT_TRUE(index_->put(root_key, root));
  EXPECT_NE(index_->root_content(), without);
  EXPECT_EQ(index_->get(root_key)->attr.dir, root_dir);
  EXPECT_EQ(index_->dir_of_handle("root handle"), root_dir);
  flush();
  open();
  expect_sound();
  index_->forget(root_key);
  EXPECT_EQ(index_->root_content(), without);
  EXPECT_TRUE(index_->contains(at(1, "f")));
  expect_sound();
}

}  // namespace
}  // namespace repl
