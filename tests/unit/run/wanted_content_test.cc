#include "engine/run/wanted_content.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "engine/model/hash.h"

namespace repl::run {
namespace {

constexpr uint64_t seed = 7;

Entry file(const std::string& content) {
  Entry entry;
  entry.attr.type = FileType::regular;
  entry.attr.mode = 0644;
  entry.attr.size = content.size();
  entry.attr.content = hash_bytes(content);
  return entry;
}

Entry dir(uint64_t id, uint16_t mode = 0755) {
  Entry entry;
  entry.attr.type = FileType::directory;
  entry.attr.mode = mode;
  entry.attr.dir = DirId{id};
  return entry;
}

struct WantedContentTest : testing::Test {
  WantedContentTest() {
    std::string pattern = "/tmp/repl-wanted-XXXXXX";
    path = ::mkdtemp(pattern.data());
    here = open("here");
    there = open("there");
    both(root_key, dir(root_dir.value));
    both(Key{root_dir, "d"}, dir(50));
    both(Key{DirId{50}, "e"}, dir(51));
    both(Key{DirId{51}, "f"}, file("old"));
    both(Key{DirId{51}, "gone"}, file("gone"));
  }
  ~WantedContentTest() override {
    here.reset();
    there.reset();
    std::filesystem::remove_all(path);
  }
  std::unique_ptr<Index> open(const std::string& name) {
    std::filesystem::create_directory(path + "/" + name);
    auto opened = Index::open(path + "/" + name + "/index", seed);
    return opened ? std::move(*opened) : nullptr;
  }
  void both(const Key& key, const Entry& entry) {
    ASSERT_TRUE(here->put(key, entry));
    ASSERT_TRUE(there->put(key, entry));
  }
  void hold(const Key& key, const std::optional<Entry>& wanted) {
    apply::Hold hold{.key = key, .reason = "held", .wants_removal = !wanted};
    if (wanted) hold.wanted = wanted->attr;
    holds[key] = hold;
    if (wanted) {
      ASSERT_TRUE(there->put(key, *wanted));
    } else {
      there->remove(key, CutNumber{2});
    }
  }
  [[nodiscard]] Fingerprint wanted() const { return wanted_content(*here, seed, holds); }

  std::string path;
  std::unique_ptr<Index> here, there;
  std::unordered_map<Key, apply::Hold> holds;
};

TEST_F(WantedContentTest, NothingHeldIsTheIndexItself) {
  EXPECT_EQ(wanted(), here->root_content());
}

TEST_F(WantedContentTest, ChangesRemovalsAndNewNamesFarBelow) {
  hold(Key{DirId{51}, "f"}, file("new"));
  EXPECT_NE(here->root_content(), there->root_content());
  EXPECT_EQ(wanted(), there->root_content());
  hold(Key{DirId{51}, "gone"}, std::nullopt);
  hold(Key{DirId{50}, "fresh"}, file("fresh"));
  EXPECT_EQ(wanted(), there->root_content());
}

TEST_F(WantedContentTest, AHeldDirectorysOwnAttributesAndWhatIsBelowIt) {
  hold(Key{root_dir, "d"}, dir(50, 0700));
  hold(Key{DirId{51}, "f"}, file("new"));
  EXPECT_EQ(wanted(), there->root_content());
}

TEST_F(WantedContentTest, WhatDriftedAloneIsStillWhatThePrimaryHas) {
  hold(Key{DirId{51}, "f"}, file("old"));
  holds[Key{root_dir, "made here"}] =
      apply::Hold{.key = Key{root_dir, "made here"}, .wants_removal = true};
  EXPECT_EQ(wanted(), there->root_content());
}

TEST_F(WantedContentTest, WhatIsNotHeldStillShows) {
  hold(Key{DirId{51}, "f"}, file("new"));
  ASSERT_TRUE(there->put(Key{DirId{51}, "gone"}, file("other")));
  EXPECT_NE(wanted(), there->root_content());
}

}  // namespace
}  // namespace repl::run
