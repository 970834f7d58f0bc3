// tree_digest.h: a tree as plain text, one line per name, everything that is replicated in it to
// the nanosecond; for tests that compare two trees. Own code: nothing of repl's is used.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace repl::test {

inline std::string xattrs_of(const std::string& path) {
  std::string names(65536, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  std::set<std::string> lines;
  for (ssize_t at = 0; at < size; at += static_cast<ssize_t>(std::strlen(names.data() + at)) + 1) {
    const std::string name = names.data() + at;
    if (name == "security.selinux" || name.starts_with("trusted.SGI_ACL_")) continue;
    std::string value(65536, '\0');
    const ssize_t got = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    value.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    std::ostringstream hex;
    for (const unsigned char c : value) hex << std::hex << int{c} << '.';
    lines.insert(name + "=" + hex.str());
  }
  std::string all;
  for (const std::string& line : lines) all += line + ";";
  return all;
}

// path → description. Names in `except` at the top are left out.
inline std::map<std::string, std::string> describe_tree(const std::string& root,
                                                        const std::set<std::string>& except) {
  std::map<std::string, std::string> lines;
  std::map<std::pair<dev_t, ino_t>, std::string> first_name;
  std::function<void(const std::string&)> walk = [&](const std::string& relative) {
    const std::string path = relative.empty() ? root : root + "/" + relative;
    struct stat st{};
    if (::lstat(path.c_str(), &st) != 0) return;
    std::ostringstream line;
    line << std::oct << st.st_mode << std::dec << " " << st.st_uid << ":" << st.st_gid << " "
         << st.st_mtim.tv_sec << "." << st.st_mtim.tv_nsec << " " << xattrs_of(path);
    if (S_ISREG(st.st_mode)) {
      std::ifstream in(path, std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(in), {}};
      line << " size " << bytes.size() << " #" << std::hash<std::string>{}(bytes);
    }
    if (S_ISLNK(st.st_mode)) {
      std::string target(4096, '\0');
      target.resize(static_cast<size_t>(
          std::max<ssize_t>(::readlink(path.c_str(), target.data(), target.size()), 0)));
      line << " -> " << target;
    }
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) line << " dev " << st.st_rdev;
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
      const auto [at, fresh] = first_name.try_emplace({st.st_dev, st.st_ino}, relative);
      if (!fresh) line << " link of " << at->second;
    }
    lines[relative] = line.str();
    if (!S_ISDIR(st.st_mode)) return;
    std::vector<std::string> names;
    if (DIR* dir = ::opendir(path.c_str())) {
      while (const dirent* entry = ::readdir(dir)) {
        const std::string name = entry->d_name;
        if (name == "." || name == ".." || (relative.empty() && except.contains(name))) continue;
        names.push_back(name);
      }
      ::closedir(dir);
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) walk(relative.empty() ? name : relative + "/" + name);
  };
  walk("");
  return lines;
}

// Empty when equal; else the first differences, for people.
inline std::string difference(const std::map<std::string, std::string>& a,
                              const std::map<std::string, std::string>& b) {
  std::ostringstream out;
  int told = 0;
  for (const auto& [path, line] : a) {
    const auto other = b.find(path);
    if (other == b.end()) {
      out << "only in A: " << path << "\n";
    } else if (other->second != line) {
      out << path << "\n  A " << line << "\n  B " << other->second << "\n";
    } else {
      continue;
    }
    if (++told == 10) return out.str();
  }
  for (const auto& [path, line] : b) {
    if (a.contains(path)) continue;
    out << "only in B: " << path << "\n";
    if (++told == 10) break;
  }
  return out.str();
}

}  // namespace repl::test
