#include "tests/sim/cluster/versions.h"

#include <filesystem>
#include <fstream>
#include <iterator>

namespace repl::sim {

namespace fs = std::filesystem;

VersionNumber Versions::add(Version version) {
  all_.push_back(std::move(version));
  return count();
}

// The tails of a version and of the one before it are alike: differences are worth sending.
std::string Versions::content(VersionNumber number) const {
  std::string text = "v" + std::to_string(number) + "\n";
  const size_t bytes = at(number).bytes;
  text.reserve(bytes);
  uint32_t chaos = 12345;
  while (text.size() < bytes) {
    chaos = chaos * 1664525 + 1013904223;
    text.push_back(static_cast<char>('a' + (chaos >> 24) % 26));
  }
  return text;
}

std::optional<VersionNumber> Versions::identify(const std::string& text) const {
  if (text.size() < 3 || text[0] != 'v') return std::nullopt;
  const auto number = static_cast<VersionNumber>(std::strtoul(text.c_str() + 1, nullptr, 10));
  if (number == 0 || number > count() || content(number) != text) return std::nullopt;
  return number;
}

bool Versions::descends(VersionNumber newer, VersionNumber older) const {
  for (VersionNumber v = newer; v != 0; v = at(v).before) {
    if (v == older && v != newer) return true;
  }
  return false;
}

namespace {

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <typename See>
void each_file(const std::string& top, See see) {
  std::error_code code;
  for (auto at = fs::recursive_directory_iterator(top, code);
       !code && at != fs::recursive_directory_iterator(); at.increment(code)) {
    if (at->is_regular_file(code)) see(at->path());
  }
}

}  // namespace

TreeView view_tree(const std::string& root, const Versions& versions) {
  TreeView view;
  each_file(root, [&](const fs::path& path) {
    view[path.lexically_relative(root).string()] = versions.identify(read_file(path)).value_or(0);
  });
  return view;
}

std::set<VersionNumber> kept_versions(const std::string& staging, const Versions& versions) {
  std::set<VersionNumber> kept;
  for (const char* area : {"/diverged", "/kept"})
    each_file(staging + area, [&](const fs::path& path) {
      if (const auto version = versions.identify(read_file(path))) kept.insert(*version);
    });
  return kept;
}

}  // namespace repl::sim
