// A cut that is told as exact is what the tree was at that cut, whatever was read too late; and one
// that can be exact is told so.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "engine/send/astray_keys.h"
#include "tests/unit/send/sender_pair.h"

namespace repl::send {
namespace {

// {key: all that is replicated of it} of what hangs together with the root.
using Shown = std::map<Key, std::string>;

Shown shown(const TempIndex& index, const ScriptedSource* source) {
  Shown out;
  std::vector<DirId> todo{root_dir};
  while (!todo.empty()) {
    const DirId dir = todo.back();
    todo.pop_back();
    index->for_children(dir, [&](std::string_view name, const Entry& e) {
      const Key key{dir, std::string(name)};
      std::string& all = out[key];
      all = std::to_string(static_cast<int>(e.attr.type)) + " " + std::to_string(e.attr.mode) +
            " " + std::to_string(e.attr.mtime.seconds) + " " + e.attr.target;
      if (e.attr.type == FileType::directory) todo.push_back(e.attr.dir);
      if (e.attr.type != FileType::regular) return true;
      Digest content = e.attr.content;
      if (source != nullptr) content = digest_of_blocks(blocks_of(source->files.at(key)->bytes));
      const std::string_view bits(reinterpret_cast<const char*>(&content), sizeof content);
      all.append(" ").append(bits);
      return true;
    });
  }
  return out;
}

struct Told {
  CutNumber cut;
  bool exact = false;
};

// Knows what the tree was at each cut, and looks at each that the replica takes for exact.
struct Watched {
  Pair pair;
  std::map<CutNumber, Shown> states;
  std::vector<Told> told;
  Watched() {
    pair.receiver.on_end = [this](const CutEnd& end, bool whole) {
      const bool exact = end.ordered && !end.loose && whole;
      told.push_back({.cut = end.cut, .exact = exact});
      const auto was = states.find(end.cut);
      if (!exact || was == states.end()) return;
      const Shown now = shown(pair.receiver.index, nullptr);
      for (const auto& [key, all] : was->second) {
        const auto at = now.find(key);
        EXPECT_TRUE(at != now.end() && at->second == all)
            << "cut " << end.cut.value << ": " << key.name
            << (at == now.end() ? " is missing" : " is another");
      }
      EXPECT_EQ(now.size(), was->second.size()) << "cut " << end.cut.value;
    };
  }
  void begin() {
    pair.first_sync();
    pair.start(PlanMode::in_sync);
    pair.tree.touched.clear();
    pair.tree.destroyed.clear();
    told.clear();
    ++pair.tree.now.value;
  }
  void cut() {
    states[pair.tree.now] = shown(pair.tree.index, &pair.tree.source);
    pair.sender->on_cut(pair.batch());
    ++pair.tree.now.value;
  }
  // Of the cuts that were told.
  [[nodiscard]] bool exact(CutNumber cut) const {
    return std::ranges::any_of(told, [&](const Told& t) { return t.cut == cut && t.exact; });
  }
  void newer_on_disk(const Key& key) {
    ScriptedFile& file = *pair.tree.source.files[key];
    file.bytes.back() ^= 1;
    file.attr.mtime.seconds = file.ctime = ++pair.tree.clock;
  }
};

// The file that was read too late is in a later cut that waits: that one is exact.
TEST(Exact, AgainFromTheCutThatTellsTheKeyAgain) {
  Watched w;
  w.begin();
  w.pair.tree.write(at_root("f"), std::string(5000, 'x'), false);
  w.cut();
  w.pair.tree.write(at_root("g"), "y");
  w.cut();
  w.pair.tree.write(at_root("f"), std::string(500, 'z'));
  w.cut();
  const CutNumber last{w.pair.tree.now.value - 1};
  w.pair.settle();
  w.pair.expect_equal();
  EXPECT_TRUE(w.exact(last));
  EXPECT_EQ(w.told.size(), 2u) << "what waited behind a cut that is not exact is one cut";
  EXPECT_FALSE(w.told[0].exact);
}

// It has changed once more since, and no cut knows of that yet.
TEST(Exact, NotFromACutThatBringsNoContent) {
  Watched w;
  w.begin();
  const Key key = at_root("f");
  w.pair.tree.write(key, std::string(5000, 'x'), false);
  w.cut();
  Attributes attr = w.pair.tree.index->get(key)->attr;
  attr.mode = 0600;
  w.pair.tree.source.files[key]->attr.mode = attr.mode;
  w.pair.tree.put(key, attr, w.pair.tree.source.files[key]->inode);
  w.cut();
  w.newer_on_disk(key);
  w.pair.settle();
  EXPECT_EQ(w.pair.dirty, std::set<Key>{key});
  for (const Told& told : w.told) EXPECT_FALSE(told.exact) << told.cut.value;
}

// A file that was gone when its content was to be sent; its removal waits.
TEST(Exact, AgainFromTheCutThatTellsOfARemoval) {
  Watched w;
  w.begin();
  w.pair.tree.write(at_root("f"), std::string(5000, 'x'), false);
  w.cut();
  w.pair.tree.write(at_root("g"), "y");
  w.cut();
  w.pair.tree.remove(at_root("f"));
  w.pair.tree.source.files.erase(at_root("f"));
  w.cut();
  w.pair.settle();
  w.pair.expect_equal();
  EXPECT_TRUE(w.exact(CutNumber{w.pair.tree.now.value - 1}));
}

// While a replica catches up the tree goes on: what came meanwhile is one cut, and that is exact.
TEST(Exact, TheCutBehindAMergedOne) {
  for (int moment = 0; moment < 3; ++moment) {
    SCOPED_TRACE(moment);
    Watched w;
    for (int i = 0; i < 20; ++i)
      w.pair.tree.write(at_root("f" + std::to_string(i)), std::string(100'000, 'a'), false);
    w.pair.first_sync();
    const CutNumber since = w.pair.tree.now;
    ++w.pair.tree.now.value;
    for (int i = 0; i < 20; ++i)
      w.pair.tree.write(at_root("f" + std::to_string(i)), std::string(100'000, 'b'), false);
    w.pair.start(PlanMode::changes, since);
    w.pair.turns(moment);
    w.pair.tree.touched.clear();
    w.pair.tree.destroyed.clear();
    ++w.pair.tree.now.value;
    for (const char* name : {"f3", "f17", "new"}) {
      w.pair.tree.write(at_root(name), std::string(300, 'c'));
      w.cut();
    }
    w.pair.tree.remove(at_root("f5"));
    w.cut();
    w.pair.settle();
    w.pair.expect_equal();
    EXPECT_EQ(w.told.size(), 3u) << "the first sync, the merged one, and what came meanwhile";
    EXPECT_TRUE(w.exact(CutNumber{w.pair.tree.now.value - 1}));
    EXPECT_EQ(w.pair.receiver.asks, 1u);
  }
}

// Cuts at random moments, contents that are newer than the newest cut, connections that are lost.
TEST(Exact, WhateverIsToldSoAtRandomMoments) {
  const char* wanted = std::getenv("REPL_SEEDS");
  const uint64_t seeds = wanted != nullptr ? std::stoull(wanted) : 12;
  size_t exact = 0;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    std::mt19937_64 rng(seed);
    Watched w;
    Pair& pair = w.pair;
    pair.receiver.refuse_orphans = true;
    pair.random_ops(rng, 40);
    w.begin();
    for (int round = 0; round < 40; ++round) {
      pair.random_ops(rng, 1 + rng() % 6);
      if (rng() % 8 == 0)
        pair.tree.write(at_root("n" + std::to_string(100 + rng() % 3)),
                        random_bytes(rng, (1 << 20) + rng() % 1000), false, rng() % 2 == 0);
      for (const Key& key : std::exchange(pair.dirty, {})) {
        const auto entry = pair.tree.index->get(key);
        if (entry) pair.tree.touched.insert(key);
      }
      for (const Key& key : std::exchange(pair.left_out, {})) pair.tree.touched.insert(key);
      w.cut();
      if (rng() % 12 == 0) {
        pair.receiver.disconnect();
        --pair.tree.now.value;  // the newest cut
        pair.start(pair.receiver.loose ? PlanMode::compare : PlanMode::changes, pair.receiver.at);
        ++pair.tree.now.value;
      }
      uint64_t turns = rng() % 40;
      pair.run_until([&] { return turns-- == 0; });
      ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << " round " << round;
    }
    pair.settle();
    for (int i = 0; i < 5 && pair.sender->prove(); ++i) pair.settle();
    pair.expect_equal();
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
    exact += std::ranges::count_if(w.told, [](const Told& told) { return told.exact; });
  }
  EXPECT_GT(exact, seeds * 3) << "nothing was ever looked at";
}

Put file(const Key& key, Content content) {
  return Put{.key = key, .attr = {.type = FileType::regular}, .content = std::move(content)};
}

TEST(AstrayKeys, UntilToldAgainOrAllThatWasKnownIs) {
  AstrayKeys keys;
  keys.add(at_root("f"));
  keys.told(file(at_root("f"), ContentInline{.bytes = "newer"}));  // of the same cut
  keys.settle(CutNumber{9});
  EXPECT_TRUE(keys.any(CutNumber{9}));
  EXPECT_FALSE(keys.any(CutNumber{10}));
  keys.told(file(at_root("f"), ContentNone{}));
  EXPECT_TRUE(keys.any(CutNumber{6}));
  keys.told(file(at_root("f"), ContentInline{.bytes = "as that cut has it"}));
  EXPECT_FALSE(keys.any(CutNumber{6}));
}

TEST(AstrayKeys, AnotherNameOfAFileIsAstrayToo) {
  AstrayKeys keys;
  keys.add(at_root("f"));
  keys.settle(CutNumber{9});
  keys.told(file(at_root("g"), ContentLink{.to = at_root("f")}));
  keys.settle(CutNumber{9});
  keys.told(Remove{.key = at_root("f")});
  EXPECT_TRUE(keys.any(CutNumber{9}));
}

TEST(AstrayKeys, MoreThanCanBeKnownCount) {
  AstrayKeys keys;
  for (size_t i = 0; i <= limits::astray_keys_max; ++i) keys.add(at_root(std::to_string(i)));
  keys.settle(CutNumber{9});
  for (size_t i = 0; i <= limits::astray_keys_max; ++i)
    keys.told(Remove{.key = at_root(std::to_string(i))});
  EXPECT_TRUE(keys.any(CutNumber{9}));
  EXPECT_FALSE(keys.any(CutNumber{10}));
}

}  // namespace
}  // namespace repl::send
