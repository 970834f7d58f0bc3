#include "engine/run/tree_proof.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/io/fs_ops.h"

namespace repl::run {
namespace {

// A tree on disk and an index of its own, whose ids are nobody else's.
class Node {
 public:
  Node(const std::string& base, uint64_t ids) : path_(base + "/" + std::to_string(ids)), ids_(ids) {
    std::filesystem::create_directories(root() + "/d/e");
    for (const char* name : {"a", "d/empty", "d/e/f", "d.x", "last"}) write(name, name);
    write("d/large", std::string(3 << 20, 'l'));
    std::filesystem::create_hard_link(root() + "/a", root() + "/d/link");
    std::filesystem::create_symlink("to/where", root() + "/d/symlink");
    record();
  }
  [[nodiscard]] std::string root() const { return path_ + "/root"; }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(root() + "/" + name, std::ios::binary) << bytes;
    const timespec times[2] = {{.tv_sec = 1'700'000'000}, {.tv_sec = 1'700'000'000}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (root() + "/" + name).c_str(), times, 0), 0);
  }
  // The index says what is on disk, but for directories' times.
  void record() {
    index_.reset();
    std::filesystem::remove_all(path_ + "/index");
    auto opened = Index::open(path_ + "/index", 7);
    ASSERT_TRUE(opened) << opened.error().message;
    index_ = std::move(*opened);
    auto fd = io::open_root(root());
    ASSERT_TRUE(fd);
    dirs_ = std::make_unique<io::DirCache>(std::move(*fd), *index_);
    next_ = ids_;
    put(root_key, root());
    below(root_dir, root());
  }
  [[nodiscard]] std::optional<std::string> digest(uint64_t step_bytes = 1 << 20) {
    sunk = 0;
    TreeProof proof(*index_, *dirs_, here, [this](const ContentWalk::Found&) { ++sunk; });
    while (!proof.step(step_bytes)) steps += 1;
    EXPECT_TRUE(proof.holds_at(here));
    return proof.digest();
  }
  [[nodiscard]] Index& index() { return *index_; }
  [[nodiscard]] io::DirCache& dirs() { return *dirs_; }

  static constexpr Position here{.epoch = Epoch{1}, .cut = CutNumber{3}};
  uint64_t steps = 0;
  uint64_t sunk = 0;

 private:
  DirId put(const Key& key, const std::string& path) {
    const std::filesystem::path at(path);
    auto dir = io::open_root(at.parent_path());
    EXPECT_TRUE(dir);
    auto stat = io::stat_at(dir->get(), at.filename().string());
    EXPECT_TRUE(stat);
    Entry entry{.attr = stat->attr, .local = stat->local};
    if (entry.attr.type == FileType::directory) {
      entry.attr.dir = key.is_root() ? root_dir : DirId{++next_};
      entry.attr.mtime = {};
    }
    if (entry.attr.type == FileType::symlink) {
      entry.attr.target = *io::read_link(dir->get(), key.name);
      entry.attr.mtime = {};
    }
    if (stat->nlink > 1 && entry.attr.type == FileType::regular) {
      entry.attr.link = LinkId{ids_ + 100};
      entry.attr.link_names = stat->nlink;
    }
    if (entry.attr.type == FileType::regular) {
      std::ifstream in(path, std::ios::binary);
      entry.attr.content = hash_bytes(std::string{std::istreambuf_iterator<char>(in), {}});
    }
    EXPECT_TRUE(index_->put(key, entry)) << path;
    return entry.attr.dir;
  }
  void below(DirId dir, const std::string& path) {
    for (const auto& child : std::filesystem::directory_iterator(path)) {
      const DirId id = put(Key{dir, child.path().filename().string()}, child.path());
      if (id.is_set()) below(id, child.path());
    }
  }
  std::string path_;
  uint64_t ids_;
  uint64_t next_ = 0;
  std::unique_ptr<Index> index_;
  std::unique_ptr<io::DirCache> dirs_;
};

struct TreeProofTest : testing::Test {
  TreeProofTest() {
    std::string pattern = "/tmp/repl-proof-XXXXXX";
    path = ::mkdtemp(pattern.data());
    a.emplace(path, 1000);
    b.emplace(path, 2000);
  }
  ~TreeProofTest() override {
    a.reset();
    b.reset();
    std::filesystem::remove_all(path);
  }
  std::string path;
  std::optional<Node> a, b;
};

TEST_F(TreeProofTest, TheSameTreeHasTheSameDigestOnEveryNode) {
  const auto digest = a->digest();
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->size(), 64);
  EXPECT_EQ(b->digest(), digest);
  EXPECT_EQ(b->sunk, 7);  // every regular file
  EXPECT_EQ(a->digest(1), digest) << "in many steps";
  EXPECT_GT(a->steps, 7);
}

// What the index believes is the same on both sides, as if both contents had one XXH3.
TEST_F(TreeProofTest, AFlippedByteThatTheIndexDoesNotKnowOf) {
  for (const char* name : {"d/e/f", "last", "d/large"}) {
    const std::string file = b->root() + "/" + std::string(name);
    std::ifstream in(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    std::string flipped = bytes;
    flipped.back() ^= 1;
    b->write(name, flipped);
    const auto other = b->digest();
    ASSERT_TRUE(other) << "its size and time are as they were";
    EXPECT_NE(other, a->digest()) << name;
    b->write(name, bytes);
    EXPECT_EQ(b->digest(), a->digest());
  }
}

TEST_F(TreeProofTest, ANameAModeAnAttributeALinkCount) {
  const auto changed = [this](const std::string& what) {
    b->record();
    EXPECT_NE(b->digest(), a->digest()) << what;
    EXPECT_TRUE(b->digest()) << what;
  };
  const std::string f = b->root() + "/d/e/f";
  std::filesystem::rename(f, b->root() + "/d/f");
  changed("moved");
  std::filesystem::rename(b->root() + "/d/f", f);
  ASSERT_EQ(::chmod(f.c_str(), 0600), 0);
  changed("mode");
  ASSERT_EQ(::chmod(f.c_str(), 0644), 0);
  b->record();
  ASSERT_EQ(b->digest(), a->digest());
  const Key key = *b->index().key_of_path("d/e/f");
  Entry entry = *b->index().get(key);
  entry.attr.xattrs = "name and value";
  ASSERT_TRUE(b->index().put(key, entry));
  EXPECT_NE(b->digest(), a->digest()) << "xattrs";
  std::filesystem::remove(b->root() + "/d/link");
  std::filesystem::copy(b->root() + "/a", b->root() + "/d/link");
  b->write("d/link", "a");
  changed("a link that is a copy");
}

TEST_F(TreeProofTest, NothingIsProvedOfAFileThatIsNotAsItWas) {
  b->write("last", "longer");
  EXPECT_FALSE(b->digest());
  std::filesystem::remove(b->root() + "/last");
  EXPECT_FALSE(b->digest());
  EXPECT_EQ(b->sunk, 7) << "the others are read all the same";
}

TEST_F(TreeProofTest, HoldsOnlyWhereItBeganAndUndisturbed) {
  TreeProof proof(a->index(), a->dirs(), Node::here, [](const ContentWalk::Found&) {});
  EXPECT_TRUE(proof.holds_at(Node::here));
  EXPECT_FALSE(proof.holds_at({.epoch = Epoch{1}, .cut = CutNumber{4}}));
  proof.disturb();
  EXPECT_FALSE(proof.holds_at(Node::here));
}

}  // namespace
}  // namespace repl::run
