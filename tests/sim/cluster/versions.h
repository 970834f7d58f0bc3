// versions.h: every version of a file that anybody in the simulator ever wrote, and what became of
// it: the model that the trees are held against.
//
// A version is named in the first bytes of the file, and the rest follows from the name: so a
// mixture of two is told. It is superseded once a writer who had it before his eyes replaced or
// removed it. Thread: one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace repl::sim {

using VersionNumber = uint32_t;  // from 1

struct Version {
  std::string path;  // where it was written
  std::string node;  // by whose writer
  size_t bytes = 0;
  VersionNumber before = 0;  // what stood there, 0: nothing
  bool superseded = false;
};

class Versions {
 public:
  VersionNumber add(Version version);
  void supersede(VersionNumber number) {
    if (number != 0) all_.at(number - 1).superseded = true;
  }
  [[nodiscard]] const Version& at(VersionNumber number) const { return all_.at(number - 1); }
  [[nodiscard]] VersionNumber count() const { return static_cast<VersionNumber>(all_.size()); }
  [[nodiscard]] std::string content(VersionNumber number) const;
  // Which version this is, whole; none: of no version.
  [[nodiscard]] std::optional<VersionNumber> identify(const std::string& content) const;
  [[nodiscard]] bool descends(VersionNumber newer, VersionNumber older) const;

 private:
  std::vector<Version> all_;
};

// path → version; 0: a content that is no version's. Directories are not in it.
using TreeView = std::map<std::string, VersionNumber>;
[[nodiscard]] TreeView view_tree(const std::string& root, const Versions& versions);
// What is in the diverged stores below that staging area.
[[nodiscard]] std::set<VersionNumber> kept_versions(const std::string& staging,
                                                    const Versions& versions);

}  // namespace repl::sim
