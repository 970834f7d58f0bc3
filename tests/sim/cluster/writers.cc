// writers.cc: applications, and people at a keyboard, who change a node's tree.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/sim/cluster/world.h"

namespace repl::sim {

namespace {
constexpr uint64_t directories = 3;
constexpr uint64_t names = 5;
}  // namespace

std::string World::any_path() {
  const uint64_t dir = chance_.below(directories + 1);
  const std::string name = "f" + std::to_string(chance_.below(names));
  return dir == directories ? name : "d" + std::to_string(dir) + "/" + name;
}

// The kernel's own times differ from run to run: what a writer leaves behind follows from the seed.
void World::stamp_times(Node& node, const std::string& path) {
  pass(1);
  const int64_t ns = surroundings().wall_ns;
  const timespec at{.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
  const timespec times[2] = {at, at};
  for (std::filesystem::path rest = path;; rest = rest.parent_path()) {
    const std::string whole = node.options.root + (rest.empty() ? "" : "/" + rest.string());
    ::utimensat(AT_FDCWD, whole.c_str(), times, AT_SYMLINK_NOFOLLOW);
    if (rest.empty()) return;
  }
}

void World::write(Node& node) {
  look_at(node);  // what the writer has before his eyes
  ++counts_.writes;
  switch (chance_.below(12)) {
    case 0:
    case 1:
      drop_file(node, any_path());
      break;
    case 2:
    case 3:
      move_file(node, any_path(), any_path());
      break;
    case 4:
      move_directory(node);
      break;
    default:
      put_file(node, any_path());
  }
  node.view = view_tree(node.options.root, versions_);
}

void World::put_file(Node& node, const std::string& path) {
  const std::string whole = node.options.root + "/" + path;
  const auto was = node.view.find(path);
  const VersionNumber before = was == node.view.end() ? 0 : was->second;
  size_t bytes = 30 + chance_.below(2'000);
  if (chance_.one_in(20)) bytes = 280'000 + chance_.below(1'200'000);
  const VersionNumber now =
      versions_.add({.path = path, .node = node.name, .bytes = bytes, .before = before});
  versions_.supersede(before);
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(whole).parent_path(), ignored);
  const bool beside = chance_.one_in(2);  // written beside and renamed, or in place
  const std::string to = beside ? whole + ".new" : whole;
  std::ofstream(to, std::ios::binary) << versions_.content(now);
  if (beside) ::rename(to.c_str(), whole.c_str());
  stamp_times(node, path);
  tell(fmt::format("{} writes {} v{} over v{} ({} bytes)", node.name, path, now, before, bytes));
}

void World::drop_file(Node& node, const std::string& path) {
  const auto was = node.view.find(path);
  if (was == node.view.end()) return;
  versions_.supersede(was->second);
  ::unlink((node.options.root + "/" + path).c_str());
  stamp_times(node, std::filesystem::path(path).parent_path().string());
  tell(fmt::format("{} removes {} v{}", node.name, path, was->second));
}

void World::move_file(Node& node, const std::string& from, const std::string& to) {
  const auto was = node.view.find(from);
  if (was == node.view.end() || from == to) return;
  const std::string target = node.options.root + "/" + to;
  if (::rename((node.options.root + "/" + from).c_str(), target.c_str()) != 0) return;
  if (const auto over = node.view.find(to); over != node.view.end())
    versions_.supersede(over->second);
  stamp_times(node, std::filesystem::path(from).parent_path().string());
  stamp_times(node, to);
  tell(fmt::format("{} moves {} v{} to {}", node.name, from, was->second, to));
}

void World::move_directory(Node& node) {
  const std::string from = "d" + std::to_string(chance_.below(directories));
  const std::string to = "d" + std::to_string(chance_.below(directories));
  const std::string a = node.options.root + "/" + from;
  const std::string b = node.options.root + "/" + to;
  if (from == to || ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) != 0)
    if (from == to || ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_NOREPLACE) != 0)
      return;
  stamp_times(node, from);
  stamp_times(node, to);
  tell(fmt::format("{} moves {} and {}", node.name, from, to));
}

}  // namespace repl::sim
