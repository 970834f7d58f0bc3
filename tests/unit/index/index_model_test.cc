// Random changes, commits and restarts against a plain model. REPL_TEST_SEED replays a seed.
#include <cstdlib>
#include <random>

#include "tests/unit/index/index_fixture.h"
#include "tests/unit/index/index_model.h"

namespace repl {
namespace {

class IndexModelTest : public IndexTest {
 protected:
  uint64_t below(uint64_t n) { return random_() % n; }
  DirId some_dir() { return DirId{1 + below(12)}; }
  Key some_key() {
    const uint64_t n = below(60);
    if (n == 0) return root_key;
    std::string name(1, static_cast<char>('a' + below(6)));
    if (below(4) == 0) name.append(200, '\xff');
    return {.dir = some_dir(), .name = name};
  }
  Entry some_entry(const Key& key) {
    cut_ += below(3) == 0 ? 1 : 0;
    Entry entry;
    if (key.is_root() || below(3) == 0) {
      entry = dir_entry(cut_, key.is_root() ? 1 : 2 + below(11));
      if (below(2) == 0) entry.local.handle = "handle" + std::to_string(entry.attr.dir.value);
    } else {
      entry = file_entry(cut_, below(2) * 200'000, below(6), below(9));
      if (below(4) == 0) {
        entry.attr.link.value = 1 + below(3);
        entry.attr.link_names = 2;
      }
    }
    entry.attr.mode = static_cast<uint16_t>(below(4));
    entry.local.ctime.seconds = static_cast<int64_t>(below(1000));
    return entry;
  }

  void step();
  void change();
  void change_place();
  void change_log();
  void commit_step();
  void compare();
  void compare_dir(DirId dir);
  void compare_maps();
  void compare_log();

  std::mt19937_64 random_;
  IndexModel model_{test_seed};
  uint64_t cut_ = 1;
  std::shared_ptr<Index::Batch> batch_;
};

void IndexModelTest::change() {
  const Key key = some_key();
  const auto it = model_.entries.find(key);
  switch (below(8)) {
    case 0: {
      ++cut_;
      index_->remove(key, CutNumber{cut_});
      model_.remove(key, CutNumber{cut_});
      break;
    }
    case 1: {
      const Digest content{Bits128{.high = below(2), .low = below(5)}};
      index_->set_content(key, content, 70'000);
      if (it != model_.entries.end() && it->second.attr.type == FileType::regular) {
        it->second.attr.content = content;
        it->second.attr.size = 70'000;
      }
      break;
    }
    case 2: {
      const LinkId link{below(4)};
      index_->set_link(key, link, 3);
      if (it != model_.entries.end()) {
        it->second.attr.link = link;
        it->second.attr.link_names = 3;
      }
      break;
    }
    case 3: {
      if (it == model_.entries.end()) break;
      LocalStat local = it->second.local;
      local.inode = below(9);
      index_->put_local(key, local);
      it->second.local = local;
      break;
    }
    default: {
      const Entry entry = some_entry(key);
      ASSERT_EQ(index_->put(key, entry), model_.put(key, entry));
    }
  }
}

void IndexModelTest::change_place() {
  const DirId dir = some_dir();
  const DirId other = some_dir();
  switch (below(4)) {
    case 0:
      index_->detach_dir(dir);
      if (!model_.detached.contains(dir)) model_.detach(dir);
      break;
    case 1:
      // Only ids of placed directories change.
      if (dir == other || model_.detached.contains(dir) || model_.detached.contains(other)) break;
      ASSERT_EQ(index_->adopt_dir_id(dir, other), model_.adopt(dir, other));
      break;
    case 2:
      if (model_.knows(dir) && model_.knows(other) && dir != root_dir) {
        ASSERT_EQ(index_->can_move(dir, other), !model_.is_below(other, dir));
      }
      break;
    default: {
      const Key key = some_key();
      if (!model_.entries.contains(key)) break;
      index_->forget(key);
      model_.drop(key);
    }
  }
}

void IndexModelTest::change_log() {
  const CutNumber cut{cut_ > 20 ? cut_ - 20 + below(10) : 0};
  if (below(2) == 0) {
    index_->trim_log(cut);
    model_.trim(cut);
  } else {
    index_->raise_log_start(cut);
    model_.trim(cut);
    model_.log_start = std::max(model_.log_start, cut);
  }
}

void IndexModelTest::commit_step() {
  if (batch_) {
    ASSERT_TRUE(index_->commit(batch_).has_value());
    index_->committed(batch_);
    batch_.reset();
    return;
  }
  const bool may = model_.detached.empty() && index_->pending() > 0;
  batch_ = index_->freeze();
  ASSERT_EQ(batch_ != nullptr, may);
}

void IndexModelTest::step() {
  const uint64_t n = below(100);
  if (n < 85) return change();
  if (n < 93) return change_place();
  if (n < 95) return change_log();
  if (n < 99) return commit_step();
  ++cut_;
  index_->remove_detached(CutNumber{cut_});
  while (!model_.detached.empty()) {
    const auto [dir, former] = *model_.detached.begin();
    const Key aside{.dir = root_dir, .name = "aside"};
    model_.detached.erase(dir);
    model_.entries[aside] = dir_entry(0, dir.value);
    model_.drop(aside);
    if (!model_.entries.contains(former)) model_.bury(former, CutNumber{cut_});
  }
  if (below(3) == 0) {
    batch_.reset();
    flush();
    open();
  }
}

void IndexModelTest::compare_dir(DirId dir) {
  const auto summary = index_->summary(dir);
  ASSERT_EQ(summary.has_value(), model_.knows(dir)) << dir.value;
  if (!summary) return;
  const IndexModel::Sums sums = model_.sums(dir);
  EXPECT_EQ(summary->content, sums.content);
  EXPECT_EQ(summary->identity, sums.identity);
  EXPECT_EQ(summary->children, sums.children);
  EXPECT_EQ(summary->unknown, sums.unknown);
  const auto place = dir == root_dir ? std::nullopt : model_.place(dir);
  EXPECT_EQ(index_->place_of(dir).has_value(), place.has_value());
  EXPECT_EQ(summary->place, place.value_or(root_key));
}

void IndexModelTest::compare_maps() {
  for (uint64_t n = 1; n < 9; ++n) {
    std::vector<Key> inodes;
    std::vector<Key> links;
    std::vector<Key> contents;
    const Digest content{Bits128{.high = 1, .low = n}};
    for (const auto& [key, entry] : model_.entries) {
      if (entry.local.inode == n) inodes.push_back(key);
      if (entry.attr.link.value == n) links.push_back(key);
      if (entry.attr.content == content && entry.attr.size >= 65'536) contents.push_back(key);
    }
    EXPECT_EQ(index_->keys_of_inode(n), inodes);
    EXPECT_EQ(index_->keys_of_link(LinkId{n}), links);
    EXPECT_EQ(index_->keys_of_content(content, 100), contents);
  }
}

void IndexModelTest::compare_log() {
  EXPECT_EQ(index_->log_start(), model_.log_start);
  EXPECT_EQ(index_->counts().tombstones, model_.tombstones.size());
  const CutNumber since{model_.log_start.value + below(10)};
  std::set<std::pair<Key, std::pair<uint64_t, bool>>> expected;
  for (const auto& [key, entry] : model_.entries) {
    if (entry.cut > since) expected.insert({key, {entry.cut.value, false}});
  }
  for (const auto& [key, cut] : model_.tombstones) {
    if (cut > since) expected.insert({key, {cut.value, true}});
  }
  CutNumber last;
  EXPECT_TRUE(index_->changes_since(since, [&](const Change& change) {
    EXPECT_LE(last, change.cut);
    last = change.cut;
    EXPECT_EQ(expected.erase({change.key, {change.cut.value, change.removed}}), 1u);
    return true;
  }));
  EXPECT_TRUE(expected.empty());
}

void IndexModelTest::compare() {
  EXPECT_EQ(index_->counts().entries, model_.entries.size());
  for (uint64_t dir = 0; dir < 14; ++dir) {
    if (dir > 0) compare_dir(DirId{dir});
    std::map<Key, Entry> children;
    index_->for_children(DirId{dir}, [&](std::string_view name, const Entry& entry) {
      children[Key{.dir = DirId{dir}, .name = std::string(name)}] = entry;
      return true;
    });
    for (const auto& [key, entry] : model_.entries) {
      if (key.dir.value != dir || key.is_root()) continue;
      ASSERT_TRUE(children.contains(key));
      EXPECT_TRUE(children[key].attr == entry.attr && children[key].local == entry.local &&
                  children[key].cut == entry.cut);
      children.erase(key);
    }
    EXPECT_TRUE(children.empty());
  }
  const auto root = model_.entries.find(root_key);
  if (root != model_.entries.end()) {
    EXPECT_EQ(Bits128{index_->root_content()},
              entry_content_hash(test_seed, "", root->second.attr, model_.sums(root_dir).content));
  }
  compare_maps();
  compare_log();
  if (model_.detached.empty()) expect_sound();
}

TEST_F(IndexModelTest, HoldsWhatThePlainModelHolds) {
  const char* replay = std::getenv("REPL_TEST_SEED");
  std::random_device device;
  const uint64_t rounds = replay != nullptr ? 1 : 40;
  for (uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    const uint64_t seed = replay != nullptr ? std::strtoull(replay, nullptr, 10) : device();
    SCOPED_TRACE("REPL_TEST_SEED=" + std::to_string(seed));
    random_.seed(seed);
    index_.reset();
    batch_.reset();
    std::filesystem::remove_all(directory());
    open();
    model_.entries.clear();
    model_.tombstones.clear();
    model_.detached.clear();
    model_.log_start = CutNumber{};
    cut_ = 1;
    for (int i = 0; i < 400 && !HasFailure(); ++i) {
      step();
      if (below(8) == 0) compare();
    }
    compare();
  }
}

}  // namespace
}  // namespace repl
