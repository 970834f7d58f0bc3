#include "engine/model/filter.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/base/limits.h"

namespace repl {
namespace {

Filter filter_of(std::vector<FilterRule> rules, std::vector<std::string> only = {}) {
  Result<Filter> filter = Filter::make(std::move(rules), std::move(only));
  EXPECT_TRUE(filter.has_value()) << (filter ? "" : filter.error().message);
  return filter ? *filter : Filter();
}
bool excluded(std::string pattern, std::string_view path, bool is_directory = false) {
  return filter_of({{false, std::move(pattern)}}).membership(path, is_directory) ==
         Membership::excluded;
}

TEST(Filter, EverythingByDefault) {
  const Filter filter;
  EXPECT_TRUE(filter.includes_everything());
  EXPECT_TRUE(filter.root_is_included());
  EXPECT_EQ(filter.membership("a/b", false), Membership::included);
  EXPECT_EQ(filter.hash(), filter_of({}).hash());
}

TEST(Filter, PlainNamesMatchTheLastComponent) {
  EXPECT_TRUE(excluded("core", "core"));
  EXPECT_TRUE(excluded("core", "a/b/core"));
  EXPECT_FALSE(excluded("core", "score"));
  EXPECT_FALSE(excluded("core", "core/a"));
  EXPECT_TRUE(excluded("*.tmp", "a/x.tmp"));
  EXPECT_TRUE(excluded("?", "a/x"));
  EXPECT_FALSE(excluded("?", "a/xy"));
}

TEST(Filter, AnchorsAndInnerSlashes) {
  EXPECT_TRUE(excluded("/core", "core"));
  EXPECT_FALSE(excluded("/core", "a/core"));
  EXPECT_TRUE(excluded("a/core", "x/a/core"));
  EXPECT_FALSE(excluded("a/core", "xa/core"));
  EXPECT_TRUE(excluded("a/*", "x/a/y"));
  EXPECT_FALSE(excluded("/a/*", "a/y/z"));
  EXPECT_TRUE(excluded("/a/**", "a/y/z"));
}

TEST(Filter, DirectoriesOnly) {
  EXPECT_TRUE(excluded("cache/", "a/cache", true));
  EXPECT_FALSE(excluded("cache/", "a/cache", false));
}

TEST(Filter, TripleStarMatchesTheDirectoryItself) {
  EXPECT_TRUE(excluded("dir/***", "x/dir", true));
  EXPECT_TRUE(excluded("dir/***", "x/dir/y"));
  EXPECT_FALSE(excluded("dir/**", "x/dir", true));
  EXPECT_TRUE(excluded("dir/**", "x/dir/y/z"));
}

TEST(Filter, Classes) {
  EXPECT_TRUE(excluded("[a-c]x", "bx"));
  EXPECT_FALSE(excluded("[!a-c]x", "bx"));
  EXPECT_TRUE(excluded("[^a-c]x", "dx"));
  EXPECT_TRUE(excluded("[]x]", "]"));
  EXPECT_TRUE(excluded("[a-]", "-"));
  EXPECT_TRUE(excluded("v[[:digit:]]", "v7"));
  EXPECT_FALSE(excluded("v[[:digit:]]", "vv"));
  EXPECT_TRUE(excluded("a\\*[b]", "a*b"));
  EXPECT_TRUE(excluded("a\\b", "a\\b")) << "without wildcards a backslash is itself";
}

TEST(Filter, BadPatternsSayWhatIsWrong) {
  for (const auto& [pattern, what] : std::vector<std::pair<std::string, std::string>>{
           {"", "is empty"},
           {"/", "matches nothing"},
           {"a[bc", "'[' without its ']'"},
           {"a[\\", "'[' without its ']'"},
           {"[[:digit", "'[' without its ']'"},
           {"[[:digits:]]", "unknown class [:digits:]"},
           {"*\\", "backslash that quotes nothing"},
           {std::string("a\0b", 3), "NUL"},
           {std::string(limits::filter_pattern_bytes_max + 1, 'a'), "longer than"}}) {
    const Result<Filter> filter = Filter::make({{false, pattern}}, {});
    ASSERT_FALSE(filter.has_value()) << pattern;
    EXPECT_NE(filter.error().message.find(what), std::string::npos) << filter.error().message;
  }
  EXPECT_FALSE(Filter::make(std::vector<FilterRule>(limits::filter_rules_max + 1, {false, "a"}), {})
                   .has_value());
}

TEST(Filter, FirstMatchWins) {
  const Filter filter = filter_of({{true, "keep.tmp"}, {false, "*.tmp"}, {true, "x.tmp"}});
  EXPECT_EQ(filter.membership("keep.tmp", false), Membership::included);
  EXPECT_EQ(filter.membership("x.tmp", false), Membership::excluded);
  EXPECT_EQ(filter.membership("x", false), Membership::included);
}

TEST(Filter, NothingBelowAnExcludedDirectory) {
  const Filter filter = filter_of({{false, "/a/"}, {true, "*"}});
  EXPECT_EQ(filter.membership("a/b", false), Membership::included) << "parents are not looked at";
  EXPECT_EQ(filter.membership_of_path("a/b", false), Membership::excluded);
}

TEST(Filter, OnlyAnchoredFile) {
  const Filter filter = filter_of({}, {"/hosts--warewulf"});
  EXPECT_FALSE(filter.root_is_included());
  EXPECT_FALSE(filter.includes_everything());
  EXPECT_EQ(filter.membership("", true), Membership::transit);
  EXPECT_EQ(filter.membership("hosts--warewulf", false), Membership::included);
  EXPECT_EQ(filter.membership("hosts", false), Membership::excluded);
  EXPECT_EQ(filter.membership("ssh", true), Membership::excluded);
  EXPECT_EQ(filter.membership_of_path("ssh/hosts--warewulf", false), Membership::excluded);
}

TEST(Filter, OnlyGlobWithTransitDirectories) {
  const Filter filter = filter_of({{false, "*.swp"}}, {"/libvirt/qemu/shared-*"});
  EXPECT_EQ(filter.membership("libvirt", true), Membership::transit);
  EXPECT_EQ(filter.membership("libvirt", false), Membership::excluded);
  EXPECT_EQ(filter.membership("libvirt/qemu", true), Membership::transit);
  EXPECT_EQ(filter.membership("libvirt/lxc", true), Membership::excluded);
  EXPECT_EQ(filter.membership("libvirt/qemu/shared-a.xml", false), Membership::included);
  EXPECT_EQ(filter.membership("libvirt/qemu/shared-a.xml.swp", false), Membership::excluded);
  EXPECT_EQ(filter.membership("libvirt/qemu/other.xml", false), Membership::excluded);
  EXPECT_EQ(filter.membership("libvirt/qemu/shared-dir", true), Membership::included);
  EXPECT_EQ(filter.membership("libvirt/qemu/shared-dir/deep/x", false), Membership::included);
}

TEST(Filter, UnanchoredOnlyMakesEveryDirectoryTransit) {
  const Filter filter = filter_of({}, {"*.conf"});
  EXPECT_EQ(filter.membership("a/b", true), Membership::transit);
  EXPECT_EQ(filter.membership("a/b/x.conf", false), Membership::included);
  EXPECT_EQ(filter.membership("a/b/x", false), Membership::excluded);
}

TEST(Filter, AnIncludeRuleDoesNotWidenOnly) {
  const Filter filter = filter_of({{true, "*.key"}, {false, "*"}}, {"/pki"});
  EXPECT_EQ(filter.membership("a.key", false), Membership::excluded);
  EXPECT_EQ(filter.membership("pki/a.key", false), Membership::included);
  EXPECT_EQ(filter.membership("pki/a.crt", false), Membership::excluded);
}

TEST(Filter, SameBelow) {
  const Filter names = filter_of({{false, "*.tmp"}, {false, "cache/"}});
  EXPECT_TRUE(names.same_below("a", "b/c/d"));
  const Filter anchored = filter_of({{false, "/a/x"}});
  EXPECT_FALSE(anchored.same_below("a", "b"));
  EXPECT_TRUE(anchored.same_below("c", "b/d"));
  EXPECT_TRUE(anchored.same_below("a/y", "b"));
  const Filter tail = filter_of({{false, "p/q"}});
  EXPECT_FALSE(tail.same_below("a/p", "a/r"));
  EXPECT_TRUE(tail.same_below("a/p", "b/c/p"));
  EXPECT_TRUE(tail.same_below("a/p/x", "b"));
  const Filter deep = filter_of({{false, "d/**/x"}});
  EXPECT_FALSE(deep.same_below("a/d", "a/e"));
  EXPECT_TRUE(deep.same_below("a/f", "g/e"));
  const Filter only = filter_of({}, {"/a", "/b/c"});
  EXPECT_TRUE(only.same_below("a/x", "a/y/z"));
  EXPECT_TRUE(only.same_below("a/x", "b/c"));
  EXPECT_FALSE(only.same_below("a/x", "b"));
}

// Property: where same_below says yes, no path below can be told apart.
TEST(Filter, SameBelowIsSound) {
  std::mt19937_64 random(20240611);
  const std::vector<std::string> parts = {"a", "b", "ab", "*", "**", "?", "a*", "***", "[ab]"};
  auto pick = [&](const std::vector<std::string>& from, size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) {
      out += (i == 0 ? "" : "/") + from[random() % from.size()];
    }
    return out;
  };
  const std::vector<std::string> names = {"a", "b", "ab", "ba"};
  size_t same = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<FilterRule> rules;
    std::vector<std::string> only;
    for (size_t i = random() % 3; i > 0; --i) {
      rules.push_back(
          {random() % 3 == 0, (random() % 2 ? "/" : "") + pick(parts, 1 + random() % 3)});
    }
    if (random() % 3 == 0)
      only.push_back((random() % 2 ? "/" : "") + pick(parts, 1 + random() % 3));
    const Filter filter = filter_of(rules, only);
    const std::string a = pick(names, 1 + random() % 3);
    const std::string b = pick(names, 1 + random() % 3);
    if (!filter.same_below(a, b)) continue;
    ++same;
    for (int i = 0; i < 20; ++i) {
      const std::string below = pick(names, 1 + random() % 3);
      const bool directory = random() % 2;
      ASSERT_EQ(filter.membership(a + "/" + below, directory),
                filter.membership(b + "/" + below, directory))
          << "round " << round << " " << a << " " << b << " " << below;
    }
  }
  EXPECT_GT(same, 500u);
}

TEST(Filter, HashIsCanonical) {
  EXPECT_EQ(filter_of({}, {"/a", "/b"}).hash(), filter_of({}, {"/b", "/a", "/a"}).hash());
  EXPECT_NE(filter_of({}, {"/a"}).hash(), filter_of({}).hash());
  EXPECT_NE(filter_of({{false, "a"}, {true, "b"}}).hash(),
            filter_of({{true, "b"}, {false, "a"}}).hash());
  EXPECT_NE(filter_of({{false, "ab"}}).hash(), filter_of({{false, "a"}}).hash());
}

TEST(Filter, ManyStarsTakeNoTime) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "**a*";
  const std::string path(4000, 'a');
  EXPECT_FALSE(excluded(pattern + "b", path));
}

TEST(FilterRules, Parse) {
  const auto rules =
      parse_filter_rules("# comment\n; other\n\n- *.tmp\n+ /keep me \nexclude a\ninclude_b\r\n");
  ASSERT_TRUE(rules.has_value());
  ASSERT_EQ(rules->size(), 4u);
  EXPECT_EQ((*rules)[0].pattern, "*.tmp");
  EXPECT_TRUE((*rules)[1].include);
  EXPECT_EQ((*rules)[1].pattern, "/keep me ");
  EXPECT_EQ((*rules)[2].pattern, "a");
  EXPECT_EQ((*rules)[3].pattern, "b");
  for (const char* bad : {"merge /x", "-", "- ", "-! x", "*.tmp", "!"}) {
    const auto refused = parse_filter_rules(bad);
    ASSERT_FALSE(refused.has_value()) << bad;
    EXPECT_NE(refused.error().message.find("filter rule 1"), std::string::npos);
  }
}

}  // namespace
}  // namespace repl
