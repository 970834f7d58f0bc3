// kill -9 at any moment of a publish: the tree goes back to the last durable cut, and the cut can
// come again.
#include <chrono>
#include <csignal>
#include <functional>

#include "tests/support/apply_tree.h"

namespace repl::apply::testing {
namespace {

constexpr DirId a{100}, b{101};

void first_cut(Tree& tree) {
  tree.begin();
  tree.put(dir(root_dir, "a", 100));
  tree.put(dir(a, "b", 101));
  tree.put(dir(root_dir, "c", 102));
  tree.put(dir(root_dir, "e", 105));
  for (int n = 0; n < 60; ++n) tree.put(file(a, fmt::format("f{}", n), fmt::format("old {}", n)));
  for (int n = 0; n < 20; ++n) tree.put(file(b, fmt::format("g{}", n), "g"));
  tree.end();
}

void second_cut(Tree& tree) {
  tree.begin();
  tree.put(dir(root_dir, "b", 101));
  tree.put(dir(b, "a", 100));
  tree.put(dir(b, "new", 103));
  for (int n = 0; n < 40; ++n) tree.put(file(DirId{103}, fmt::format("n{}", n), "n"));
  for (int n = 0; n < 30; ++n) tree.put(file(a, fmt::format("f{}", n), fmt::format("new {}", n)));
  tree.put(file(root_dir, "made", "made"));
  // A directory and files that move into directories that are new.
  tree.put(dir(root_dir, "outer", 106));
  tree.put(dir(DirId{106}, "e", 105));
  tree.put(dir(DirId{105}, "inner", 107));
  tree.put(file(DirId{107}, "x", "x"));
  for (int n = 30; n < 45; ++n) {
    const std::string old = fmt::format("f{}", n);
    const std::string bytes = fmt::format("old {}", n);
    const DirId to = n < 40 ? DirId{106} : root_dir;
    tree.put(with(file(to, "moved" + old, bytes), ContentCopy{.from = {a, old}}));
  }
  for (int n = 30; n < 60; ++n) tree.remove(a, fmt::format("f{}", n));
  tree.remove(root_dir, "c");
}

// Another process makes cuts after the first one, none of them durable, and is killed.
bool killed_after(const Volume& volume, const std::function<void(Tree&)>& cuts) {
  const pid_t child = ::fork();
  if (child == 0) {
    Tree tree(volume);
    tree.cut = 1;
    cuts(tree);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status);
}

// The child has stopped itself: it goes on, and is killed so long afterwards.
bool killed_after(pid_t child, int microseconds) {
  int status = 0;
  ::waitpid(child, &status, WUNTRACED);
  ::kill(child, SIGCONT);
  ::usleep(static_cast<useconds_t>(microseconds));
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status);
}

TEST(Crash, GoesBackToTheLastDurableCutAndForwardAgain) {
  for (int round = 0; round < 25; ++round) {
    const Volume volume("tmpfs", 32);
    ASSERT_TRUE(volume.ok());
    std::map<std::string, std::string> before;
    {
      Tree tree(volume);
      first_cut(tree);
      before = walk(tree.root());
    }
    const pid_t child = ::fork();
    if (child == 0) {
      Tree tree(volume);
      tree.cut = 1;
      second_cut(tree);
      ::kill(::getpid(), SIGSTOP);
      if (!tree.try_end()) ::_exit(1);
      ::kill(::getpid(), SIGKILL);
    }
    ASSERT_TRUE(killed_after(child, round * 250));
    Tree tree(volume);
    const auto after = walk(tree.root());
    for (const auto& [path, line] : before) {
      const auto it = after.find(path);
      ASSERT_TRUE(it != after.end()) << "round " << round << " lost " << path;
      if (path == ".") continue;
      EXPECT_EQ(it->second, line) << "round " << round << " " << path;
    }
    for (const auto& [path, line] : after)
      EXPECT_TRUE(before.contains(path)) << "round " << round << " " << path;
    tree.cut = 1;
    second_cut(tree);
    EXPECT_EQ(tree.end().refused.size(), 0u) << "round " << round;
    EXPECT_EQ(tree.read("b/a/f3"), "new 3");
    tree.expect_index_is_disk();
    if (HasFailure()) return;
  }
}

// Both cuts were published, neither is durable: what the first one made lies in what the second one
// removed.
TEST(Crash, WhatACutMadeInADirectoryThatTheNextOneRemovedGoes) {
  const Volume volume("tmpfs", 32);
  ASSERT_TRUE(volume.ok());
  {
    Tree tree(volume);
    first_cut(tree);
  }
  ASSERT_TRUE(killed_after(volume, [](Tree& tree) {
    tree.begin();
    tree.put(dir(b, "new", 110));
    tree.put(dir(DirId{110}, "deeper", 111));
    tree.put(file(DirId{111}, "x", "x"));
    if (!tree.try_end()) ::_exit(1);
    tree.begin();
    tree.remove(root_dir, "a");
    if (!tree.try_end()) ::_exit(1);
  }));
  const Tree tree(volume);
  EXPECT_FALSE(fs::exists(tree.root() + "/a/b/new"));
  EXPECT_TRUE(fs::exists(tree.root() + "/a/b/g3"));
  tree.expect_index_is_disk();
}

// Linux tells of a lost write once: a second fsync(2) of the same file succeeds without the data.
TEST(Crash, AFailedSyncIsNeverTriedAgainAndTheTreeGoesBack) {
  const Volume volume("tmpfs", 32);
  ASSERT_TRUE(volume.ok());
  Tree tree(volume);
  first_cut(tree);
  const auto before = walk(tree.root());
  second_cut(tree);
  ASSERT_TRUE(tree.try_end());
  auto work = tree.applier->take_sync_work();
  ASSERT_TRUE(work);
  int ends[2] = {};
  ASSERT_EQ(::pipe(ends), 0);
  const Fd other(ends[1]);
  work->whole_filesystem = false;
  work->fds.clear();
  work->fds.emplace_back(ends[0]);  // fsync(2) refuses a pipe
  const Status failed = SyncWork::run(*work, *tree.index);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().remedy, Remedy::hold);
  tree.applier->on_synced(std::move(*work), failed);
  EXPECT_TRUE(tree.applier->fault());
  EXPECT_FALSE(tree.applier->take_sync_work()) << "a second sync would prove nothing";
  ASSERT_TRUE(tree.applier->begin(CutBegin{.cut = CutNumber{3}}));
  EXPECT_FALSE(
      tree.applier->publish(CutEnd{.cut = CutNumber{3}}, false, [](const Position&) { FAIL(); }));
  tree.open();
  auto after = walk(tree.root());
  for (const auto& [path, line] : before) {
    if (path != ".") {
      EXPECT_EQ(after[path], line) << path;
    }
  }
  EXPECT_EQ(after.size(), before.size());
  tree.cut = 1;
  second_cut(tree);
  EXPECT_EQ(tree.end().refused.size(), 0u);
  EXPECT_EQ(tree.read("b/a/f3"), "new 3");
  tree.expect_index_is_disk();
}

TEST(Crash, AFullDiskIsARetryAndLosesNothing) {
  const Volume volume("ext4", 16);
  ASSERT_TRUE(volume.ok());
  Tree tree(volume, OnDrift::hold, fmt::format("/tmp/repl-apply-state-{}", ::getpid()));
  first_cut(tree);
  const auto before = walk(tree.root());
  tree.begin();
  Status status;
  for (int n = 0; status && n < 200; ++n) {
    status = tree.applier->put(
        file(a, fmt::format("big{}", n), std::string(limits::inline_bytes_max, 'x')));
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::no_space);
  EXPECT_EQ(status.error().remedy, Remedy::retry);
  tree.applier->abandon();
  tree.sync();
  EXPECT_EQ(walk(tree.root()), before);
  tree.begin();
  tree.put(file(a, "small", "fits again"));
  EXPECT_EQ(tree.end().refused.size(), 0u);
  EXPECT_EQ(tree.read("a/small"), "fits again");
  fs::remove_all(fmt::format("/tmp/repl-apply-state-{}", ::getpid()));
}

// Neither cut is durable: the first one moves a directory and a file into what the second one
// removes.
TEST(Crash, WhatMovedIntoADirectoryThatTheNextCutRemovedComesBack) {
  const Volume volume("tmpfs", 32);
  ASSERT_TRUE(volume.ok());
  std::map<std::string, std::string> before;
  {
    Tree tree(volume);
    first_cut(tree);
    before = walk(tree.root());
  }
  ASSERT_TRUE(killed_after(volume, [](Tree& tree) {
    tree.begin();
    tree.put(dir(DirId{102}, "b", 101));
    tree.put(dir(DirId{102}, "new", 110));
    Put moved = with(file(DirId{110}, "moved", "old 7", 0600), ContentCopy{.from = {a, "f7"}});
    moved.attr.mtime.seconds += 7;  // its attributes are set before it is where it goes
    tree.put(moved);
    tree.remove(a, "f7");
    if (!tree.try_end()) ::_exit(1);
    tree.begin();
    tree.remove(root_dir, "c");
    if (!tree.try_end()) ::_exit(1);
  }));
  const Tree tree(volume);
  const auto after = walk(tree.root());
  for (const auto& [path, line] : before) EXPECT_TRUE(after.contains(path)) << "lost " << path;
  for (const auto& [path, line] : after) EXPECT_TRUE(before.contains(path)) << "left " << path;
  tree.expect_index_is_disk();
}

// The first cut makes a directory, the second one puts another in its place, one that is known and
// was emptied.
TEST(Crash, AKnownDirectoryInThePlaceOfANewOneStays) {
  const Volume volume("tmpfs", 32);
  ASSERT_TRUE(volume.ok());
  std::map<std::string, std::string> before;
  {
    Tree tree(volume);
    first_cut(tree);
    before = walk(tree.root());
  }
  ASSERT_TRUE(killed_after(volume, [](Tree& tree) {
    tree.begin();
    tree.put(dir(root_dir, "place", 110));
    if (!tree.try_end()) ::_exit(1);
    tree.begin();
    tree.put(dir(root_dir, "place", 101));
    for (int n = 0; n < 20; ++n) tree.remove(b, fmt::format("g{}", n));
    if (!tree.try_end()) ::_exit(1);
  }));
  const Tree tree(volume);
  const auto after = walk(tree.root());
  for (const auto& [path, line] : before) EXPECT_TRUE(after.contains(path)) << "lost " << path;
  for (const auto& [path, line] : after) EXPECT_TRUE(before.contains(path)) << "left " << path;
  tree.expect_index_is_disk();
}

// A new directory took the place of a known one, and a directory that was in that one moved into it
// under the same name: once both are back, the new one's place leads to the old one.
TEST(Crash, WhatIsBackIsNotTakenForWhatThePlanMovedThere) {
  const Volume volume("tmpfs", 32);
  ASSERT_TRUE(volume.ok());
  std::map<std::string, std::string> before;
  {
    Tree tree(volume);
    first_cut(tree);
    before = walk(tree.root());
  }
  ASSERT_TRUE(killed_after(volume, [](Tree& tree) {
    tree.begin();
    tree.put(dir(root_dir, "a", 110));
    tree.put(dir(DirId{110}, "b", 101));
    if (!tree.try_end()) ::_exit(1);
  }));
  ::alarm(60);  // it went round for ever
  const Tree tree(volume);
  ::alarm(0);
  const auto after = walk(tree.root());
  for (const auto& [path, line] : before) EXPECT_TRUE(after.contains(path)) << "lost " << path;
  for (const auto& [path, line] : after) EXPECT_TRUE(before.contains(path)) << "left " << path;
  tree.expect_index_is_disk();
}

// Attributes that changed in two cuts, neither durable: some of each may be set.
TEST(Crash, WhatTwoCutsMadeGoes) {
  const Volume volume("tmpfs", 32);
  ASSERT_TRUE(volume.ok());
  {
    Tree tree(volume);
    first_cut(tree);
  }
  ASSERT_TRUE(killed_after(volume, [](Tree& tree) {
    tree.begin();
    tree.put(file(root_dir, "made", "made"));
    if (!tree.try_end()) ::_exit(1);
    tree.begin();
    Put other = with(file(root_dir, "made", "made", 0600), ContentNone{});
    other.attr.uid = 33;
    tree.put(other);
    if (!tree.try_end()) ::_exit(1);
    ::chmod((tree.root() + "/made").c_str(), 0644);
  }));
  const Tree tree(volume);
  EXPECT_FALSE(fs::exists(tree.root() + "/made"));
}

// --- appends in place ---

const StageId tail_id{Bits128{3, 4}};
constexpr uint64_t long_bytes = 2 << 20;
const std::string long_content(long_bytes, 'b');

// The cuts' number is the caller's.
void append(Tree& tree, const std::string& base, const std::string& tail,
            const Key& key = {root_dir, "log"}, const std::string& as = "log") {
  ContentBuilder& contents = tree.applier->contents();
  const std::string whole = base + tail;
  const bool built =
      contents.begin({.stage = tail_id, .base = key, .base_digest = digest_of(base)}) &&
      contents.copy({.stage = tail_id, .length = base.size()}) &&
      contents.data({.stage = tail_id, .offset = base.size(), .bytes = tail}) &&
      contents.end({.stage = tail_id, .size = whole.size(), .digest = digest_of(whole)});
  if (!built) ::_exit(1);
  Put put = file(root_dir, as, whole, 0640);
  put.attr.mtime.seconds += static_cast<int64_t>(tree.cut);
  tree.put(with(put, ContentStaged{tail_id}));
}

void log_cut(Tree& tree) {
  tree.begin();
  tree.put(dir(root_dir, "a", 100));
  tree.put(dir(root_dir, "z", 101));
  const StageId id{Bits128{5, 6}};
  ASSERT_TRUE(stage_whole(tree.applier->contents(), id, long_content));
  tree.put(with(file(root_dir, "log", long_content), ContentStaged{id}));
  tree.put(file(root_dir, "small", "small"));
  EXPECT_EQ(tree.end().refused.size(), 0u);
}

// What cuts that are not durable made of the tree is gone after recovery, and the next one is
// welcome.
void expect_taken_back(const std::function<void(Tree&)>& cuts) {
  const Volume volume("tmpfs", 32);
  ASSERT_TRUE(volume.ok());
  std::map<std::string, std::string> before;
  {
    Tree tree(volume);
    log_cut(tree);
    before = walk(tree.root());
  }
  ASSERT_TRUE(killed_after(volume, cuts));
  Tree tree(volume);
  auto after = walk(tree.root());
  EXPECT_EQ(after.size(), before.size());
  for (const auto& [path, line] : before) {
    if (path == ".") continue;
    EXPECT_TRUE(after[path] == line)
        << path << " " << after[path].substr(0, 40) << " " << after[path].size();
  }
  tree.expect_index_is_disk();
  tree.cut = 1;
  tree.begin();
  append(tree, long_content, "the next");
  EXPECT_EQ(tree.end().refused.size(), 0u);
  EXPECT_TRUE(tree.read("log") == long_content + "the next");
  tree.expect_index_is_disk();
}

TEST(CrashOfAnAppend, IsTakenBack) {
  expect_taken_back([](Tree& tree) {
    tree.begin();
    append(tree, long_content, "one");
    if (!tree.try_end()) ::_exit(1);
    struct stat st{};
    ::stat((tree.root() + "/log").c_str(), &st);
    if (st.st_size != long_bytes + 3) ::_exit(1);  // nothing to take back
  });
}

TEST(CrashOfAnAppend, IsTakenBackWhenOnlyAPartWasWritten) {
  expect_taken_back([](Tree& tree) {
    tree.begin();
    append(tree, long_content, std::string(1000, 'o'));
    if (!tree.try_end()) ::_exit(1);
    // As between two writes, before the attributes are set.
    fs::resize_file(tree.root() + "/log", long_bytes + 500);
  });
}

TEST(CrashOfAnAppend, IsTakenBackWhenRecoveryWasKilledToo) {
  expect_taken_back([](Tree& tree) {
    tree.begin();
    append(tree, long_content, "one");
    if (!tree.try_end()) ::_exit(1);
    fs::resize_file(tree.root() + "/log", long_bytes);  // its time is now
  });
}

TEST(CrashOfAnAppend, SeveralAreTakenBack) {
  expect_taken_back([](Tree& tree) {
    std::string content = long_content;
    for (const std::string& tail : {std::string("one"), std::string(5000, 't'), std::string("3")}) {
      tree.begin();
      append(tree, content, tail);
      if (!tree.try_end()) ::_exit(1);
      content += tail;
    }
  });
}

TEST(CrashOfAnAppend, IsTakenBackFromWhereTheFileWentSince) {
  for (const std::string what : {"moved", "removed", "replaced", "below", "linked"}) {
    SCOPED_TRACE(what);
    expect_taken_back([&](Tree& tree) {
      const std::string content = long_content + "one";
      tree.begin();
      append(tree, long_content, "one");
      if (!tree.try_end()) ::_exit(1);
      tree.begin();
      if (what == "moved" || what == "below") {
        if (what == "below") tree.put(dir(DirId{101}, "deep", 105));
        Put put = file(what == "below" ? DirId{105} : root_dir, "log.1", content, 0640);
        put.attr.mtime.seconds += 2;
        tree.put(with(put, ContentCopy{.from = {root_dir, "log"}}));
        tree.remove(root_dir, "log");
      } else if (what == "removed") {
        tree.remove(root_dir, "log");
      } else if (what == "replaced") {
        tree.put(file(root_dir, "log", "another"));
      } else {
        Put put = with(file(root_dir, "log", content, 0640), ContentNone{});
        put.attr.mtime.seconds += 2;
        put.attr.link = LinkId{9};
        put.attr.link_names = 2;
        Put other = put;
        other.key.name = "other";
        other.content = ContentLink{put.key};
        tree.put(put);
        tree.put(other);
      }
      const auto done = tree.try_end();
      if (!done || !done->refused.empty()) ::_exit(1);
      if (what != "moved") return;
      tree.begin();
      tree.put(file(root_dir, "log", "rotated"));
      if (!tree.try_end()) ::_exit(1);
    });
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(CrashOfAnAppend, WhatSomebodyElseWroteIsNotCutOff) {
  const Volume volume("tmpfs", 32);
  ASSERT_TRUE(volume.ok());
  {
    Tree tree(volume);
    log_cut(tree);
  }
  ASSERT_TRUE(killed_after(volume, [](Tree& tree) {
    tree.begin();
    append(tree, long_content, "one");
    if (!tree.try_end()) ::_exit(1);
    std::ofstream(tree.root() + "/log", std::ios::app) << "somebody else's";
  }));
  const Tree tree(volume);
  EXPECT_TRUE(tree.read("log") == long_content + "onesomebody else's");
}

TEST(CrashOfAnAppend, AFailedSyncTakesItBack) {
  const Volume volume("tmpfs", 32);
  ASSERT_TRUE(volume.ok());
  Tree tree(volume);
  log_cut(tree);
  const auto before = walk(tree.root());
  tree.begin();
  append(tree, long_content, "one");
  ASSERT_TRUE(tree.try_end());
  ASSERT_FALSE(walk(tree.root()) == before);
  tree.open();
  EXPECT_TRUE(walk(tree.root()) == before);
  tree.expect_index_is_disk();
}

// kill -9 at any moment of appends and edits that use second copies.
TEST(CrashOfAnAppend, AtAnyMoment) {
  for (int round = 0; round < 25; ++round) {
    const Volume volume("tmpfs", 128);
    ASSERT_TRUE(volume.ok());
    const std::string large(limits::second_copy_bytes_min + 5, 'l');
    const auto edit = [&](Tree& tree, const std::string& base, const std::string& bytes) {
      // One block in its middle.
      constexpr uint64_t at = 4 << 20;
      const uint64_t end = at + limits::block_bytes;
      ContentBuilder& contents = tree.applier->contents();
      const StageId id{Bits128{8, ++tree.cut}};
      --tree.cut;
      const Key key{root_dir, "large"};
      return contents.begin({.stage = id, .base = key, .base_digest = digest_of(base)}) &&
             contents.copy({.stage = id, .length = at}) &&
             contents.data({.stage = id, .offset = at, .bytes = bytes.substr(at, end - at)}) &&
             contents.copy(
                 {.stage = id, .offset = end, .base_offset = end, .length = bytes.size() - end}) &&
             contents.end({.stage = id, .size = bytes.size(), .digest = digest_of(bytes)}) &&
             (tree.begin(), true) &&
             tree.applier->put(with(file(root_dir, "large", bytes), ContentStaged{id}));
    };
    const auto edited = [&](int n) {
      std::string bytes = large;
      if (n > 0) bytes.replace(4 << 20, 1000, std::string(1000, static_cast<char>('0' + n)));
      return bytes;
    };
    std::map<std::string, std::string> before;
    {
      Tree tree(volume);
      log_cut(tree);
      const StageId id{Bits128{6, 6}};
      ASSERT_TRUE(stage_whole(tree.applier->contents(), id, large));
      tree.begin();
      tree.put(with(file(root_dir, "large", large), ContentStaged{id}));
      EXPECT_EQ(tree.end().refused.size(), 0u);
      before = walk(tree.root());
    }
    const pid_t child = ::fork();
    if (child == 0) {
      Tree tree(volume);
      tree.cut = 2;
      ::kill(::getpid(), SIGSTOP);
      std::string log = long_content;
      for (int n = 1; n < 9; ++n) {
        tree.begin();
        append(tree, log, "more");
        if (!tree.try_end()) ::_exit(1);
        log += "more";
        if (!edit(tree, edited(n - 1), edited(n))) ::_exit(1);
        if (!tree.applier->publish(CutEnd{.cut = CutNumber{tree.cut}, .records = 1}, false,
                                   [](const Position&) {})) {
          ::_exit(1);
        }
        if (n == 2 || n == 5) tree.sync();
      }
      ::kill(::getpid(), SIGKILL);
    }
    ASSERT_TRUE(killed_after(child, round * 4000));
    Tree tree(volume);
    tree.expect_index_is_disk();
    for (const char* name : {"log", "large"}) {
      const auto entry = tree.index->get({root_dir, name});
      ASSERT_TRUE(entry);
      EXPECT_EQ(digest_of(tree.read(name)), entry->attr.content) << name << ", round " << round;
    }
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace repl::apply::testing
