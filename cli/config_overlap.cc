#include "cli/config_overlap.h"

#include <array>

#include "engine/base/escape.h"

namespace repl::cli {
namespace {

// A tree with its filter; a filter that does not compile has been reported already and holds
// nothing here.
struct Side {
  const TreeConfig& tree;
  std::optional<Filter> filter;

  explicit Side(const TreeConfig& config) : tree(config) {
    if (Result<Policy> policy = policy_of(config)) filter = policy->filter;
  }
  [[nodiscard]] bool holds(const std::string& path, bool is_directory) const {
    if (!filter) return false;
    const std::string prefix = tree.root == "/" ? "/" : tree.root + "/";
    if (path == tree.root) return is_directory && filter->root_is_included();
    if (!path.starts_with(prefix)) return false;
    return filter->membership_of_path(path.substr(prefix.size()), is_directory) ==
           Membership::included;
  }
};

bool contains(const std::string& outer, const std::string& inner) {
  return outer == inner || outer == "/" || inner.starts_with(outer + "/");
}

// A name that the pattern matches, each run of wildcards replaced by `filler`; good enough for
// patterns as people write them, a class being represented by its first member.
std::string sample(std::string_view pattern, std::string_view filler) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '*') {
      while (i + 1 < pattern.size() && pattern[i + 1] == '*') ++i;
      out += filler;
    } else if (c == '?') {
      out += 'x';
    } else if (c == '[') {
      const size_t end = pattern.find(']', i + 2);
      const bool plain = i + 1 < pattern.size() && pattern[i + 1] != '!' && pattern[i + 1] != '^' &&
                         pattern[i + 1] != '[';
      out += plain ? pattern[i + 1] : 'x';
      if (end != std::string_view::npos) i = end;
    } else if (c == '\\' && i + 1 < pattern.size()) {
      out += pattern[++i];
    } else {
      out += c;
    }
  }
  while (out.ends_with('/')) out.pop_back();
  while (out.starts_with('/')) out.erase(0, 1);
  return out;
}

std::vector<std::string> candidates(const Side& side) {
  const std::string prefix = side.tree.root == "/" ? "/" : side.tree.root + "/";
  std::vector<std::string> paths = {side.tree.root, prefix + "any-name"};
  for (const std::string& pattern : side.tree.include) {
    for (const std::string_view filler : {"x", "", "any/x"}) {
      const std::string path = prefix + sample(pattern, filler);
      paths.push_back(path);
      paths.push_back(path + "/any-name");
    }
  }
  return paths;
}

}  // namespace

std::string overlap(const TreeConfig& a, const TreeConfig& b) {
  if (!contains(a.root, b.root) && !contains(b.root, a.root)) return {};
  const Side left(a), right(b);
  for (const Side* side : {&left, &right}) {
    for (const std::string& path : candidates(*side)) {
      for (const bool directory : {true, false}) {
        if (left.holds(path, directory) && right.holds(path, directory)) {
          return path.ends_with("/any-name") && path.size() > 9
                     ? "files in " + escape(path.substr(0, path.size() - 9))
                     : escape(path);
        }
      }
    }
  }
  return {};
}

}  // namespace repl::cli
