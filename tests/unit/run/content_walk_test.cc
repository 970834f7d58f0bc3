#include "engine/run/content_walk.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/io/fs_ops.h"

namespace repl::run {
namespace {

// a, d/e/f0 … d/e/f9, d/g, z; every file holds its name.
struct Walked : ::testing::Test {
  std::string path = ::testing::TempDir() + "/repl_walk_XXXXXX";
  std::unique_ptr<Index> index;
  std::unique_ptr<io::DirCache> dirs;
  uint64_t next = 1000;

  void SetUp() override {
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    index = std::move(*Index::open(path + "/index", 7));
    std::filesystem::create_directories(root());
    dirs = std::make_unique<io::DirCache>(std::move(*io::open_root(root())), *index);
    add(root_key, "");
    const DirId d = add(Key{root_dir, "d"}, "d", true);
    const DirId e = add(Key{d, "e"}, "d/e", true);
    add(Key{root_dir, "a"}, "a");
    for (int i = 0; i < 10; ++i) {
      const std::string name = "f" + std::to_string(i);
      add(Key{e, name}, "d/e/" + name);
    }
    add(Key{d, "g"}, "d/g");
    add(Key{root_dir, "z"}, "z");
  }
  void TearDown() override { std::filesystem::remove_all(path); }
  [[nodiscard]] std::string root() const { return path + "/root"; }
  DirId add(const Key& key, const std::string& at, bool directory = false) {
    if (directory) std::filesystem::create_directory(root() + "/" + at);
    if (!directory && !key.is_root()) std::ofstream(root() + "/" + at) << key.name;
    Entry entry;
    if (key.is_root()) {
      entry.attr.type = FileType::directory;
      entry.attr.dir = root_dir;
    } else {
      const io::Stat stat = *io::stat_at(*dirs->open(key.dir), key.name);
      entry = Entry{.attr = stat.attr, .local = stat.local};
      if (directory) entry.attr.dir = DirId{++next};
    }
    index->put(key, entry);
    return entry.attr.dir;
  }
  // What is read by a walk that begins behind `place`; it ends after so many files, at `reached`.
  std::vector<std::string> read(const std::vector<std::string>& place, size_t files,
                                std::vector<std::string>& reached) {
    std::vector<std::string> names;
    ContentWalk walk(*index, *dirs, WalkKind::everything, [&](const ContentWalk::Found& found) {
      EXPECT_TRUE(found.digest) << found.key.name << ": " << found.problem;
      names.push_back(found.key.name);
    });
    walk.past_the_cache();
    walk.go_on_behind(place);
    while (names.size() < files && !walk.step(1)) {
    }
    reached = walk.place();
    return names;
  }
};

TEST_F(Walked, GoesOnBehindEveryPlace) {
  std::vector<std::string> at;
  const std::vector<std::string> all = read({}, SIZE_MAX, at);
  ASSERT_EQ(all.size(), 13u);
  for (size_t first = 1; first < all.size(); ++first) {
    std::vector<std::string> names = read({}, first, at);
    const std::vector<std::string> rest = read(at, SIZE_MAX, at);
    names.insert(names.end(), rest.begin(), rest.end());
    EXPECT_EQ(names, all) << first;
  }
}

TEST_F(Walked, WhatIsGoneOfAPlaceIsPassedOver) {
  std::vector<std::string> at;
  EXPECT_EQ(read({"d", "gone", "deeper"}, SIZE_MAX, at), (std::vector<std::string>{"z"}));
  EXPECT_EQ(read({"d", "e", "f7x"}, SIZE_MAX, at),
            (std::vector<std::string>{"f8", "f9", "g", "z"}));
  EXPECT_EQ(read({"zz"}, SIZE_MAX, at), std::vector<std::string>{});
}

}  // namespace
}  // namespace repl::run
