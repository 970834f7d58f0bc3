// The tables behind the watchers: handle → id, watch ↔ id, exports.
#include <gtest/gtest.h>
#include <sys/inotify.h>

#include <string>
#include <unordered_map>

#include "engine/watch/handle_cache.h"
#include "engine/watch/inotify_table.h"
#include "engine/watch/nfs_exports.h"
#include "engine/watch/root_watch.h"

namespace repl::watch {
namespace {

class Resolver final : public HandleResolver {
 public:
  [[nodiscard]] std::optional<DirId> dir_of(std::string_view handle) const override {
    ++asked;
    if (meanwhile) meanwhile();
    const auto found = dirs.find(std::string(handle));
    return found == dirs.end() ? std::nullopt : std::optional(found->second);
  }
  std::unordered_map<std::string, DirId> dirs;
  std::function<void()> meanwhile;
  mutable int asked = 0;
};

TEST(HandleCache, AsksOnceForHitAndMiss) {
  Resolver resolver;
  resolver.dirs["h"] = DirId{5};
  HandleCache cache(resolver, 10, 10);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(cache.find("h"), DirId{5});
    EXPECT_EQ(cache.find("other"), std::nullopt);
  }
  EXPECT_EQ(resolver.asked, 2);
}

TEST(HandleCache, AddTakesBackAMiss) {
  Resolver resolver;
  HandleCache cache(resolver, 10, 10);
  EXPECT_EQ(cache.find("h"), std::nullopt);
  cache.add("h", DirId{5});
  EXPECT_EQ(cache.find("h"), DirId{5});
  EXPECT_EQ(cache.foreign_count(), 0u);
}

TEST(HandleCache, AMissNeverOverwritesWhatWasAddedMeanwhile) {
  Resolver resolver;
  HandleCache cache(resolver, 10, 10);
  resolver.meanwhile = [&] { cache.add("h", DirId{5}); };
  EXPECT_EQ(cache.find("h"), DirId{5});
  resolver.meanwhile = nullptr;
  EXPECT_EQ(cache.find("h"), DirId{5});
}

TEST(HandleCache, RemoveForgetsAndGivesTheHandle) {
  Resolver resolver;
  HandleCache cache(resolver, 10, 10);
  cache.add("h", DirId{5});
  EXPECT_EQ(cache.remove(DirId{5}), "h");
  EXPECT_EQ(cache.remove(DirId{5}), std::nullopt);
  EXPECT_EQ(cache.find("h"), std::nullopt);
}

TEST(HandleCache, IdAndHandleMayBothChange) {
  Resolver resolver;
  HandleCache cache(resolver, 10, 10);
  cache.add("h", DirId{5});
  cache.add("h", DirId{6});  // the primary's id was adopted
  EXPECT_EQ(cache.find("h"), DirId{6});
  EXPECT_EQ(cache.remove(DirId{5}), std::nullopt);
  cache.add("new", DirId{6});  // another directory under a known key keeps the id
  EXPECT_EQ(cache.find("new"), DirId{6});
  EXPECT_EQ(cache.find("h"), std::nullopt);
  EXPECT_EQ(cache.remove(DirId{6}), "new");
  EXPECT_EQ(cache.known_count(), 0u);
}

TEST(HandleCache, MissesAreBounded) {
  Resolver resolver;
  HandleCache cache(resolver, 10, 100);
  for (int i = 0; i < 10'000; ++i) EXPECT_EQ(cache.find(std::to_string(i)), std::nullopt);
  EXPECT_LE(cache.foreign_count(), 100u);
}

TEST(HandleCache, OnlyWhatTheIndexKnowsIsEvicted) {
  Resolver resolver;
  HandleCache cache(resolver, 10, 10);
  for (uint64_t i = 0; i < 1000; ++i) cache.add(std::to_string(i), DirId{i + 1});
  cache.trim();
  EXPECT_EQ(cache.known_count(), 1000u);
  for (uint64_t i = 0; i < 900; ++i) resolver.dirs[std::to_string(i)] = DirId{i + 1};
  for (int i = 0; i < 1000; ++i) cache.trim();
  EXPECT_LE(cache.known_count(), 110u);
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_EQ(cache.find(std::to_string(i)), DirId{i + 1});
}

std::string record(int wd, uint32_t mask, const std::string& name = "") {
  inotify_event header{};
  header.wd = wd;
  header.mask = mask;
  std::string padded = name;
  if (!name.empty()) padded.resize((name.size() / 16 + 1) * 16, '\0');
  header.len = static_cast<uint32_t>(padded.size());
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + padded;
}

const InotifyTable::EndWatch no_watch = [](int) { return false; };

Drained translate(InotifyTable& table, const std::string& buffer,
                  const InotifyTable::EndWatch& end_watch = no_watch) {
  const std::vector<char> exact(buffer.begin(), buffer.end());
  Drained out;
  table.translate({exact.data(), exact.size()}, end_watch, out);
  return out;
}

TEST(InotifyTable, NamesADirectoryByItsId) {
  InotifyTable table;
  table.set(3, DirId{30});
  const Drained seen =
      translate(table, record(3, IN_CREATE | IN_ISDIR, "d") + record(4, IN_CREATE, "foreign"));
  ASSERT_EQ(seen.hints.size(), 1u);
  EXPECT_EQ(seen.hints[0].dir, DirId{30});
  EXPECT_EQ(seen.hints[0].name, "d");
  EXPECT_EQ(seen.hints[0].bits, hint_created | hint_directory);
  EXPECT_EQ(seen.events, 2u);
  EXPECT_EQ(seen.foreign, 1u);
}

TEST(InotifyTable, IgnoredForgetsTheWatch) {
  InotifyTable table;
  table.set(3, DirId{30});
  const Drained seen = translate(table, record(3, IN_IGNORED));
  EXPECT_TRUE(seen.lost.empty());
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.remove(DirId{30}), std::nullopt);
}

TEST(InotifyTable, IgnoredOfAFormerUseOfTheNumberIsALoss) {
  InotifyTable table;
  table.set(3, DirId{30});
  EXPECT_EQ(table.remove(DirId{30}), 3);
  table.set(3, DirId{40});
  const Drained seen = translate(table, record(3, IN_IGNORED), [](int wd) { return wd == 3; });
  ASSERT_EQ(seen.lost.size(), 1u);
  EXPECT_EQ(seen.lost[0].below, DirId{40});
  EXPECT_EQ(table.size(), 0u);
}

TEST(InotifyTable, IdAndWatchMayBothChange) {
  InotifyTable table;
  EXPECT_EQ(table.set(3, DirId{30}), std::nullopt);
  EXPECT_EQ(table.set(3, DirId{30}), std::nullopt);
  EXPECT_EQ(table.set(3, DirId{31}), std::nullopt);
  EXPECT_EQ(table.remove(DirId{30}), std::nullopt);
  EXPECT_EQ(table.set(4, DirId{31}), 3);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(table.remove(DirId{31}), 4);
}

TEST(InotifyTable, TheRootIsGone) {
  for (const uint32_t mask : {IN_DELETE_SELF, IN_MOVE_SELF, IN_UNMOUNT, IN_IGNORED}) {
    InotifyTable table;
    table.set(1, root_dir);
    table.set(2, DirId{20});
    EXPECT_FALSE(translate(table, record(2, IN_MOVE_SELF)).root_gone);
    EXPECT_TRUE(translate(table, record(1, mask)).root_gone) << mask;
  }
}

TEST(InotifyTable, OverflowIsALossOfAll) {
  InotifyTable table;
  const Drained seen = translate(table, record(-1, IN_Q_OVERFLOW));
  ASSERT_EQ(seen.lost.size(), 1u);
  EXPECT_EQ(seen.lost[0].below, std::nullopt);
}

TEST(InotifyTable, HostileBuffers) {
  InotifyTable table;
  table.set(3, DirId{30});
  const std::string whole = record(3, IN_CREATE, "some-name");
  for (size_t size = 1; size < whole.size(); ++size) {
    EXPECT_EQ(translate(table, whole.substr(0, size)).lost.size(), 1u) << size;
  }
  std::string lying = whole;
  lying.replace(12, 4, "\xff\xff\xff\xff");
  EXPECT_EQ(translate(table, lying).lost.size(), 1u);
  std::string unended = whole;
  unended.replace(16, 16, std::string(16, 'n'));
  EXPECT_EQ(translate(table, unended).hints.at(0).name, std::string(16, 'n'));
}

TEST(RootCovers, AreTheMountsBelowTheRoot) {
  const io::MountTable table = io::parse_mounts(
      "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "30 22 0:50 / /srv/a\\040b/d rw - tmpfs cover rw\n"
      "31 22 0:51 / /srv/beside rw - tmpfs cover rw\n"
      "32 30 0:52 / /srv/a\\040b/d/e rw - tmpfs cover rw\n");
  EXPECT_EQ(covers_below(table, "/srv/a b"), "30 /srv/a b/d\n32 /srv/a b/d/e\n");
  EXPECT_EQ(covers_below(table, "/srv/a"), "");
  EXPECT_EQ(covers_below(table, "/srv/beside"), "") << "what it stands on covers nothing of it";
}

TEST(NfsExports, AboveBelowAndBeside) {
  const std::string etab =
      "/srv/data\t10.0.0.0/8(rw,sync)\n"
      "/with\\040space/x\t*(ro)\n";
  EXPECT_TRUE(is_exported(etab, "/srv/data"));
  EXPECT_TRUE(is_exported(etab, "/srv/data/tree"));
  EXPECT_TRUE(is_exported(etab, "/srv"));
  EXPECT_TRUE(is_exported(etab, "/"));
  EXPECT_TRUE(is_exported(etab, "/with space"));
  EXPECT_FALSE(is_exported(etab, "/srv/data2"));
  EXPECT_FALSE(is_exported(etab, "/etc"));
  EXPECT_FALSE(is_exported("", "/etc"));
  EXPECT_TRUE(is_exported("/ *(rw)\n", "/etc"));
}

}  // namespace
}  // namespace repl::watch
