// A cut on real filesystems: every kind of change leads to the tree that was asked for, the index
// says what is on disk, and whatever apply did not expect survives.
#include "tests/support/apply_tree.h"

namespace repl::apply::testing {
namespace {

constexpr DirId a{100}, b{101}, c{102}, d{103};

class Publish : public OnVolume {
 protected:
  void SetUp() override { mount(GetParam() == "xfs" ? 320 : GetParam() == "btrfs" ? 160 : 48); }
  void make_basic() {
    tree_->begin();
    tree_->put(dir(root_dir, "a", 100));
    tree_->put(dir(a, "b", 101, 02750));
    tree_->put(file(b, "deep", "deep content", 0600));
    tree_->put(file(a, "f", "one"));
    tree_->put(symlink(a, "link", "f"));
    tree_->put(file(root_dir, "top", "top", 04755));
    tree_->put(dir(root_dir, "c", 102));
    const PublishResult result = tree_->end();
    EXPECT_EQ(result.refused.size(), 0u);
    tree_->expect_index_is_disk();
  }
};

TEST_P(Publish, NewTreeEntersWhole) {
  make_basic();
  EXPECT_EQ(tree_->read("a/b/deep"), "deep content");
  struct stat st{};
  ASSERT_EQ(::stat((tree_->root() + "/a/b").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 02750u);
  ASSERT_EQ(::stat((tree_->root() + "/top").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 04755u);
}

// Files of their own that are equal to what arrives do not stand in for names of one file.
TEST_P(Publish, EqualFilesBecomeNamesOfOneGroup) {
  make_basic();
  tree_->begin();
  Put first = file(root_dir, "one", "same");
  first.attr.link = LinkId{7};
  first.attr.link_names = 2;
  Put second = first;
  second.key.name = "two";
  second.content = ContentLink{first.key};
  for (const char* name : {"/one", "/two"}) {
    const std::string path = tree_->root() + name;
    std::ofstream(path) << "same";
    ASSERT_EQ(::chmod(path.c_str(), first.attr.mode), 0);
    const timespec time{first.attr.mtime.seconds, first.attr.mtime.nanoseconds};
    const timespec times[2] = {time, time};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  tree_->put(first);
  tree_->put(second);
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_TRUE(fs::equivalent(tree_->root() + "/one", tree_->root() + "/two"));
  tree_->expect_index_is_disk();
}

// And the other way round: names of one file do not stand in for files of their own.
TEST_P(Publish, NamesOfOneFileBecomeEqualFiles) {
  make_basic();
  tree_->begin();
  const Put first = file(root_dir, "one", "same");
  const Put second = file(root_dir, "two", "same");
  const std::string path = tree_->root() + "/one";
  std::ofstream(path) << "same";
  ASSERT_EQ(::chmod(path.c_str(), first.attr.mode), 0);
  const timespec time{first.attr.mtime.seconds, first.attr.mtime.nanoseconds};
  const timespec times[2] = {time, time};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  fs::create_hard_link(path, tree_->root() + "/two");
  tree_->put(first);
  tree_->put(second);
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_FALSE(fs::equivalent(path, tree_->root() + "/two"));
  tree_->expect_index_is_disk();
}

TEST_P(Publish, ContentMetadataAndRemoval) {
  make_basic();
  tree_->begin();
  tree_->put(file(a, "f", "two, longer"));
  Put top = file(root_dir, "top", "top", 0640);
  top.attr.uid = 1234;
  tree_->put(with(top, ContentNone{}));
  tree_->put(symlink(a, "link", "elsewhere"));
  tree_->remove(b, "deep");
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(tree_->read("a/f"), "two, longer");
  EXPECT_FALSE(fs::exists(tree_->root() + "/a/b/deep"));
  EXPECT_EQ(fs::read_symlink(tree_->root() + "/a/link"), "elsewhere");
  tree_->expect_index_is_disk();
  tree_->begin();
  tree_->remove(root_dir, "a");
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_FALSE(fs::exists(tree_->root() + "/a"));
  tree_->expect_index_is_disk();
}

TEST_P(Publish, DirectoriesSwap) {
  make_basic();
  tree_->begin();
  tree_->put(dir(root_dir, "c", 100));
  tree_->put(dir(root_dir, "a", 102));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(tree_->read("c/b/deep"), "deep content");
  EXPECT_TRUE(fs::is_empty(tree_->root() + "/a"));
  tree_->expect_index_is_disk();
}

TEST_P(Publish, ParentMovesIntoItsFormerChild) {
  make_basic();
  tree_->begin();
  tree_->put(dir(root_dir, "b", 101));
  tree_->put(dir(b, "a", 100));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(tree_->read("b/deep"), "deep content");
  EXPECT_EQ(tree_->read("b/a/f"), "one");
  EXPECT_FALSE(fs::exists(tree_->root() + "/a"));
  tree_->expect_index_is_disk();
}

TEST_P(Publish, MovedOutOfARemovedDirectory) {
  make_basic();
  tree_->begin();
  tree_->put(dir(c, "b", 101));
  tree_->put(dir(root_dir, "new", 103));
  tree_->put(with(file(d, "f", "one"), ContentCopy{{a, "f"}}));
  tree_->remove(root_dir, "a");
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(tree_->read("c/b/deep"), "deep content");
  EXPECT_EQ(tree_->read("new/f"), "one");
  EXPECT_FALSE(fs::exists(tree_->root() + "/a"));
  tree_->expect_index_is_disk();
}

TEST_P(Publish, CopyKeepsItsSource) {
  make_basic();
  tree_->begin();
  tree_->put(with(file(c, "copy", "one"), ContentCopy{{a, "f"}}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(tree_->read("c/copy"), "one");
  EXPECT_EQ(tree_->read("a/f"), "one");
  tree_->expect_index_is_disk();
}

TEST_P(Publish, TypesChange) {
  make_basic();
  tree_->begin();
  tree_->put(file(root_dir, "a", "a file now"));
  tree_->put(dir(root_dir, "top", 103));
  tree_->put(file(d, "inner", "inner"));
  tree_->put(symlink(root_dir, "c", "top"));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(tree_->read("a"), "a file now");
  EXPECT_EQ(tree_->read("top/inner"), "inner");
  EXPECT_TRUE(fs::is_symlink(tree_->root() + "/c"));
  tree_->expect_index_is_disk();
}

TEST_P(Publish, LinkGroupGrowsChangesAndShrinks) {
  make_basic();
  const auto member = [&](DirId where, const std::string& name, const std::string& bytes,
                          uint32_t names) {
    Put put = file(where, name, bytes);
    put.attr.link = LinkId{7};
    put.attr.link_names = names;
    return put;
  };
  tree_->begin();
  tree_->put(with(member(a, "f", "one", 3), ContentNone{}));
  tree_->put(with(member(a, "f2", "one", 3), ContentLink{{a, "f"}}));
  tree_->put(with(member(c, "f3", "one", 3), ContentLink{{a, "f"}}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(fs::hard_link_count(tree_->root() + "/a/f"), 3u);
  tree_->expect_index_is_disk();
  tree_->begin();
  tree_->put(member(a, "f", "changed", 3));
  tree_->put(with(member(a, "f2", "changed", 3), ContentLink{{a, "f"}}));
  tree_->put(with(member(c, "f3", "changed", 3), ContentLink{{a, "f"}}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(tree_->read("c/f3"), "changed");
  EXPECT_EQ(fs::hard_link_count(tree_->root() + "/a/f"), 3u);
  tree_->expect_index_is_disk();
  tree_->begin();
  tree_->put(with(member(a, "f2", "changed", 2), ContentNone{}));
  tree_->put(with(member(c, "f3", "changed", 2), ContentLink{{a, "f2"}}));
  tree_->remove(a, "f");
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(fs::hard_link_count(tree_->root() + "/c/f3"), 2u);
  tree_->expect_index_is_disk();
}

// The times that the cut sets through the one name show in the directory that goes.
TEST_P(Publish, ANameOfATouchedFileInADirectoryThatTheFileReplaces) {
  make_basic();
  const auto member = [](DirId where, const std::string& name, uint16_t mode, Content content) {
    Put put = with(file(where, name, "one", mode), std::move(content));
    put.attr.mtime.seconds += mode;
    put.attr.link = LinkId{7};
    put.attr.link_names = 2;
    return put;
  };
  tree_->begin();
  tree_->put(dir(root_dir, "going", 120));
  tree_->put(member(root_dir, "stays", 0644, ContentInline{"one"}));
  tree_->put(member(DirId{120}, "name", 0644, ContentLink{{root_dir, "stays"}}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  tree_->begin();
  tree_->put(member(root_dir, "stays", 0600, ContentNone{}));
  tree_->put(member(root_dir, "going", 0600, ContentLink{{root_dir, "stays"}}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_TRUE(fs::is_regular_file(tree_->root() + "/going"));
  EXPECT_EQ(fs::hard_link_count(tree_->root() + "/stays"), 2u);
}

// A merged cut does not speak of a name that is gone on the primary by then, and will go here
// later.
TEST_P(Publish, WhatIsSetThroughOneNameIsKnownOfAll) {
  make_basic();
  const auto member = [](DirId where, const std::string& name, uint16_t mode, Content content) {
    Put put = with(file(where, name, "one", mode), std::move(content));
    put.attr.link = LinkId{7};
    put.attr.link_names = 2;
    return put;
  };
  tree_->begin();
  tree_->put(member(a, "stays", 0644, ContentInline{"one"}));
  tree_->put(member(c, "goes", 0644, ContentLink{{a, "stays"}}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  tree_->begin();
  tree_->put(member(a, "stays", 0600, ContentNone{}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  tree_->expect_index_is_disk();
  ::chmod((tree_->root() + "/a/stays").c_str(), 0640);  // and not what was set here
  tree_->begin();
  tree_->remove(c, "goes");
  EXPECT_EQ(tree_->end().refused.size(), 1u);
}

// Whatever a primary says: its fingerprint must not be the same then.
TEST_P(Publish, NamesThatAreTwoFilesAreNoGroup) {
  make_basic();
  const auto member = [](const std::string& name) {
    Put put = file(root_dir, name, "one");
    put.attr.link = LinkId{7};
    put.attr.link_names = 2;
    return put;
  };
  tree_->begin();
  tree_->put(member("one"));
  tree_->put(member("two"));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(tree_->index->keys_of_link(LinkId{7}).size(), 1u);
  tree_->begin();
  tree_->put(with(member("one"), ContentNone{}));
  tree_->put(with(member("two"), ContentLink{{root_dir, "one"}}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(tree_->index->keys_of_link(LinkId{7}).size(), 2u);
  EXPECT_EQ(fs::hard_link_count(tree_->root() + "/two"), 2u);
}

TEST_P(Publish, DriftIsHeldAndTheRestFlows) {
  make_basic();
  std::ofstream(tree_->root() + "/a/f") << "edited here";
  ::chmod((tree_->root() + "/top").c_str(), 0777);
  fs::remove(tree_->root() + "/a/b/deep");
  tree_->begin();
  tree_->put(file(a, "f", "two"));
  tree_->put(file(root_dir, "top", "new top"));
  tree_->put(file(b, "deep", "new deep"));
  tree_->put(file(c, "flows", "flows"));
  const PublishResult result = tree_->end();
  EXPECT_EQ(result.refused.size(), 3u);
  for (const Refused& refused : result.refused) EXPECT_TRUE(refused.hold);
  EXPECT_EQ(tree_->read("a/f"), "edited here");
  EXPECT_EQ(tree_->read("top"), "top");
  EXPECT_FALSE(fs::exists(tree_->root() + "/a/b/deep"));
  EXPECT_EQ(tree_->read("c/flows"), "flows");
  EXPECT_EQ(tree_->applier->holds().size(), 3u);
  tree_->open();
  EXPECT_EQ(tree_->applier->holds().size(), 3u) << "holds are durable";
}

TEST_P(Publish, DriftEqualToTheRecordIsAdopted) {
  make_basic();
  std::ofstream(tree_->root() + "/a/f") << "two";
  ASSERT_EQ(::chmod((tree_->root() + "/a/f").c_str(), 0644), 0);
  const struct timespec times[2] = {{0, UTIME_OMIT}, {1'000'000, 123'456'789}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (tree_->root() + "/a/f").c_str(), times, 0), 0);
  tree_->begin();
  tree_->put(file(a, "f", "two"));
  const PublishResult result = tree_->end();
  EXPECT_EQ(result.refused.size(), 0u);
  EXPECT_EQ(result.adopted, 1u);
}

TEST_P(Publish, DriftIsKeptAndReplaced) {
  make_basic();
  tree_ = nullptr;
  tree_ = std::make_unique<Tree>(*volume_, OnDrift::keep_and_replace);
  tree_->cut = 5;
  std::ofstream(tree_->root() + "/a/f") << "edited here";
  fs::remove(tree_->root() + "/top");
  fs::create_symlink("/etc/passwd", tree_->root() + "/top");
  std::ofstream(tree_->root() + "/a/b/deep") << "edited too";
  tree_->begin();
  tree_->put(file(a, "f", "two"));
  tree_->put(file(root_dir, "top", "new top"));
  tree_->remove(b, "deep");
  const PublishResult result = tree_->end();
  EXPECT_EQ(result.refused.size(), 0u);
  EXPECT_EQ(result.kept, 3u);
  EXPECT_EQ(tree_->read("a/f"), "two");
  EXPECT_EQ(tree_->read("top"), "new top");
  EXPECT_EQ(std::distance(fs::directory_iterator(volume_->mount() + "/staging/kept"), {}), 3);
  tree_->expect_index_is_disk();
}

TEST_P(Publish, ParentSwappedForASymlinkLeadsNowhere) {
  make_basic();
  fs::create_directory(volume_->mount() + "/outside");
  fs::rename(tree_->root() + "/c", volume_->mount() + "/c-moved");
  fs::create_directory_symlink(volume_->mount() + "/outside", tree_->root() + "/c");
  tree_->begin();
  tree_->put(file(c, "x", "x"));
  tree_->put(dir(c, "y", 103));
  tree_->put(file(d, "z", "z"));
  const PublishResult result = tree_->end();
  EXPECT_EQ(result.refused.size(), 3u);
  EXPECT_TRUE(fs::is_empty(volume_->mount() + "/outside"));
  EXPECT_TRUE(fs::is_empty(volume_->mount() + "/c-moved"));
}

TEST_P(Publish, ADirectoryWithUnknownFilesStays) {
  make_basic();
  std::ofstream(tree_->root() + "/a/b/local") << "mine";
  tree_->begin();
  tree_->remove(root_dir, "a");
  const PublishResult result = tree_->end();
  EXPECT_EQ(result.refused.size(), 0u);
  EXPECT_GE(result.notices.size(), 1u);
  EXPECT_EQ(tree_->read("a/b/local"), "mine");
  EXPECT_FALSE(fs::exists(tree_->root() + "/a/f"));
  EXPECT_FALSE(fs::exists(tree_->root() + "/a/b/deep"));
  EXPECT_FALSE(tree_->index->contains({root_dir, "a"}));
}

TEST_P(Publish, ChangedBelowARemovedDirectoryHoldsIt) {
  make_basic();
  std::ofstream(tree_->root() + "/a/b/deep") << "edited";
  tree_->begin();
  tree_->remove(root_dir, "a");
  EXPECT_EQ(tree_->end().refused.size(), 1u);
  EXPECT_EQ(tree_->read("a/b/deep"), "edited");
  EXPECT_EQ(tree_->read("a/f"), "one");
}

TEST_P(Publish, StagedContentSurvivesAReconnect) {
  make_basic();
  const StageId id{Bits128{1, 2}};
  const std::string bytes(100'000, 'x');
  ContentBuilder& contents = tree_->applier->contents();
  ASSERT_TRUE(contents.begin({.stage = id}));
  ASSERT_TRUE(contents.data({.stage = id, .offset = 0, .bytes = bytes}));
  tree_->open();
  const auto progress = tree_->staging->progress();
  ASSERT_TRUE(progress);
  ASSERT_EQ(progress->size(), 1u);
  EXPECT_EQ((*progress)[0].bytes, bytes.size());
  ContentBuilder& again = tree_->applier->contents();
  ASSERT_TRUE(again.begin({.stage = id, .resume_at = bytes.size()}));
  ASSERT_TRUE(again.hole({.stage = id, .offset = bytes.size(), .length = 1 << 20}));
  ASSERT_TRUE(again.data({.stage = id, .offset = bytes.size() + (1 << 20), .bytes = "end"}));
  const std::string whole = bytes + std::string(1 << 20, '\0') + "end";
  ASSERT_TRUE(again.end({.stage = id, .size = whole.size(), .digest = digest_of(whole)}));
  tree_->begin();
  Put put = file(c, "big", whole);
  tree_->put(with(put, ContentStaged{id}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(tree_->read("c/big"), whole);
  struct stat st{};
  ASSERT_EQ(::stat((tree_->root() + "/c/big").c_str(), &st), 0);
  EXPECT_LT(st.st_blocks * 512u, whole.size()) << "the hole stays a hole";
  tree_->expect_index_is_disk();
}

// A directory on its way to another place can neither arrive nor go back: it is never taken for
// what was displaced.
TEST_P(Publish, AMovedDirectoryThatCannotGoBackIsLeftToRecovery) {
  make_basic();
  std::ofstream(tree_->root() + "/x") << "in the way";
  fs::remove(volume_->mount() + "/staging/kept");
  tree_->begin();
  tree_->put(dir(root_dir, "x", 100));
  tree_->put(dir(root_dir, "a", 103));
  EXPECT_FALSE(tree_->try_end());
  EXPECT_TRUE(tree_->applier->fault());
  EXPECT_FALSE(tree_->applier->take_sync_work());
  tree_->open();
  EXPECT_EQ(tree_->read("a/b/deep"), "deep content");
  EXPECT_EQ(tree_->read("a/f"), "one");
  EXPECT_EQ(tree_->read("x"), "in the way");
}

TEST_P(Publish, EveryByteInANameAndTheLongestOne) {
  tree_->begin();
  std::string deep_path;
  DirId at = root_dir;
  for (uint64_t level = 0; level < 40; ++level) {
    tree_->put(dir(at, std::string(255, 'd'), 1000 + level));
    at = DirId{1000 + level};
  }
  tree_->put(file(at, "new\nline\x1b\xff", "x"));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  tree_->begin();
  tree_->remove(root_dir, std::string(255, 'd'));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_TRUE(fs::is_empty(tree_->root()));
}

INSTANTIATE_TEST_SUITE_P(Filesystems, Publish, ::testing::Values("tmpfs", "ext4", "xfs", "btrfs"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace repl::apply::testing
