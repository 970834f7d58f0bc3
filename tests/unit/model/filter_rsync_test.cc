// rsync as the oracle: for random rules and a random tree, `rsync --list-only` and the filter must
// choose the same paths. The seed is printed with a failure and in REPL_TEST_SEED replays it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "engine/model/filter.h"

extern char** environ;

namespace repl {
namespace {

namespace fs = std::filesystem;
using Random = std::mt19937_64;

class FilterRsync : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/repl_filter_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
    fs::create_directories(dir_ / "src");
    fs::create_directories(dir_ / "dst");
  }
  void TearDown() override { fs::remove_all(dir_); }

  // What rsync would copy, directories with a trailing '/'.
  std::set<std::string> ask_rsync(const std::vector<FilterRule>& rules) {
    std::ofstream(dir_ / "rules", std::ios::trunc) << [&] {
      std::string text;
      for (const FilterRule& rule : rules)
        text += (rule.include ? "+ " : "- ") + rule.pattern + "\n";
      return text;
    }();
    const std::string filter = "--filter=merge " + (dir_ / "rules").string();
    const std::string source = (dir_ / "src").string() + "/";
    const std::string target = (dir_ / "dst").string() + "/";
    const std::string output = (dir_ / "out").string();
    std::vector<std::string> words = {"rsync", "-n",   "-r",  "--out-format=%n",
                                      filter,  source, target};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    pid_t pid = 0;
    EXPECT_EQ(posix_spawnp(&pid, "rsync", &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
    std::set<std::string> chosen;
    std::ifstream lines(output);
    for (std::string line; std::getline(lines, line);) {
      if (line != "./" && !line.empty()) chosen.insert(line);
    }
    return chosen;
  }

  std::set<std::string> ask_filter(const std::vector<FilterRule>& rules) {
    Result<Filter> filter = Filter::make(rules, {});
    EXPECT_TRUE(filter.has_value()) << (filter ? "" : filter.error().message);
    std::set<std::string> chosen;
    if (filter) walk(*filter, "", chosen);
    return chosen;
  }
  void walk(const Filter& filter, const std::string& below, std::set<std::string>& chosen) {
    for (const auto& item : fs::directory_iterator(dir_ / "src" / below)) {
      const std::string path = below.empty() ? item.path().filename().string()
                                             : below + "/" + item.path().filename().string();
      const Membership is = filter.membership(path, item.is_directory());
      EXPECT_EQ(is, filter.membership_of_path(path, item.is_directory()));
      if (is == Membership::excluded) continue;
      chosen.insert(item.is_directory() ? path + "/" : path);
      if (item.is_directory()) walk(filter, path, chosen);
    }
  }
  fs::path dir_;
};

const std::vector<std::string> names = {"a", "b", "ab", "ba",  "a.c", "b.c",
                                        "-", "]", "A1", "a b", "[a]"};

void grow(const fs::path& at, int depth, Random& random) {
  for (const std::string& name : names) {
    if (random() % 3 == 0) continue;
    if (depth > 0 && random() % 3 == 0) {
      fs::create_directory(at / name);
      grow(at / name, depth - 1, random);
    } else {
      std::ofstream(at / name) << "x";
    }
  }
}

std::string random_component(Random& random) {
  static const std::vector<std::string> pieces = {
      "a",    "b",    "c",     ".",   "*",     "**",   "?",           "[ab]",
      "[!a]", "[^b]", "[a-c]", "[]]", "[a-]",  "***",  "[[:alpha:]]", "[[:upper:][:digit:]]",
      "\\a",  "\\[",  "-",     " ",   "[[:x]", "[b/]", "[\\]a]",      "[+--]"};
  std::string out;
  for (size_t count = 1 + random() % 3; count > 0; --count) out += pieces[random() % pieces.size()];
  return out;
}

std::vector<FilterRule> random_rules(Random& random) {
  std::vector<FilterRule> rules;
  for (size_t count = 1 + random() % 4; count > 0; --count) {
    std::string pattern = random() % 3 == 0 ? "/" : "";
    for (size_t parts = 1 + random() % 3; parts > 0; --parts) {
      pattern += random() % 3 == 0 ? names[random() % 5] : random_component(random);
      if (parts > 1) pattern += "/";
    }
    if (random() % 5 == 0) pattern += "/";
    if (random() % 6 == 0) pattern += pattern.ends_with('/') ? "***" : "/***";
    rules.push_back({random() % 3 == 0, pattern});
  }
  return rules;
}

TEST_F(FilterRsync, ChoosesTheSamePaths) {
  const char* wanted = std::getenv("REPL_TEST_SEED");
  const uint64_t first = wanted ? std::strtoull(wanted, nullptr, 10) : 1;
  const uint64_t last = wanted ? first : 200;
  size_t excluded_some = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    Random random(seed);
    if ((seed - first) % 25 == 0) {
      fs::remove_all(dir_ / "src");
      fs::create_directory(dir_ / "src");
      grow(dir_ / "src", 3, random);
    }
    const std::vector<FilterRule> rules = random_rules(random);
    std::string shown;
    for (const FilterRule& rule : rules)
      shown += (rule.include ? "+ " : "- ") + rule.pattern + "\n";
    const std::set<std::string> expected = ask_rsync(rules);
    ASSERT_EQ(ask_filter(rules), expected) << "seed " << seed << "\n" << shown;
    excluded_some += expected.size() < ask_filter({}).size();
  }
  if (!wanted) {
    EXPECT_GT(excluded_some, 50u) << "the rules were too tame to show anything";
  }
}

// A checker must be able to fail: rules that differ must be seen to differ.
TEST_F(FilterRsync, Canary) {
  fs::create_directories(dir_ / "src/a");
  std::ofstream(dir_ / "src/a/b") << "x";
  EXPECT_NE(ask_filter({{false, "b"}}), ask_rsync({{false, "/b"}}));
}

}  // namespace
}  // namespace repl
