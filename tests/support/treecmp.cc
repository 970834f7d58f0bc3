// treecmp A B: are two directory trees equal in everything that repl promises to carry? An oracle
// that shares no code with repl. Compares type, mode, owner, group, size, mtime to the nanosecond
// (symlinks and directories too), symlink targets, device numbers, every extended attribute (ACLs
// are among them; only security.selinux is left out, and xfs's second view of ACLs), content byte
// by byte, and which names are hard links of one another.
//
//   --exclude PATH   leave out this path below both roots (and what is below it); repeatable
//   --no-root        the roots' own attributes may differ
//   --holes          a file sparse in A must be sparse in B
//
// Prints each difference on a line, names escaped. Exit: 0 equal, 1 different, 2 could not be told.
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr int differences_printed_max = 60;
constexpr size_t chunk_bytes = 1 << 20;

std::string escaped(const std::string& bytes) {
  std::string out;
  for (const unsigned char c : bytes) {
    if (c >= 0x20 && c < 0x7f && c != '\\') {
      out += static_cast<char>(c);
    } else {
      char code[8];
      std::snprintf(code, sizeof code, "\\x%02x", c);
      out += code;
    }
  }
  return out;
}

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "treecmp: %s: %s\n", escaped(what).c_str(), std::strerror(errno));
  std::exit(2);
}

struct Fd {
  explicit Fd(int fd) : value(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (value >= 0) close(value);
  }
  int value;
};

struct Place {  // one directory, or one name in it, on one side
  int dir;
  std::string name;
  std::string path;  // for messages
  struct stat st;
  // xattr calls take no directory fd; the magic link does, at any depth, and follows nothing
  // itself.
  std::string proc() const { return "/proc/self/fd/" + std::to_string(dir) + "/" + name; }
};

using InodeKey = std::pair<dev_t, ino_t>;

class Comparison {
 public:
  std::set<std::string> excluded;
  bool compare_root = true;
  bool compare_holes = false;

  int run(const char* root_a, const char* root_b) {
    const Fd a(open(root_a, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (a.value < 0) die(root_a);
    const Fd b(open(root_b, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (b.value < 0) die(root_b);
    if (compare_root) attributes(place(a.value, ".", root_a), place(b.value, ".", root_b), ".");
    directory(a.value, b.value, "");
    if (differences_ > differences_printed_max)
      std::printf("... %ld differences in all\n", differences_);
    return differences_ == 0 ? 0 : 1;
  }

 private:
  long differences_ = 0;
  std::map<InodeKey, std::pair<InodeKey, std::string>> partner_of_a_, partner_of_b_;

  void differ(const std::string& path, const std::string& what) {
    if (++differences_ <= differences_printed_max)
      std::printf("%s: %s\n", escaped(path).c_str(), what.c_str());
  }
  template <typename T>
  void same(const std::string& path, const char* what, T a, T b, const char* format) {
    if (a == b) return;
    char va[64];
    char vb[64];
    std::snprintf(va, sizeof va, format, a);
    std::snprintf(vb, sizeof vb, format, b);
    differ(path, std::string(what) + " " + va + " | " + vb);
  }

  static Place place(int dir, const std::string& name, const std::string& path) {
    Place p{dir, name, path, {}};
    if (fstatat(dir, name.c_str(), &p.st, AT_SYMLINK_NOFOLLOW) != 0) die(path);
    return p;
  }

  static std::vector<std::string> names(int fd, const std::string& path) {
    const int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* dir = copy < 0 ? nullptr : fdopendir(copy);
    if (dir == nullptr) die(path);
    std::vector<std::string> result;
    errno = 0;
    while (const dirent* entry = readdir(dir)) {
      if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
        result.emplace_back(entry->d_name);
    }
    if (errno != 0) die(path);
    closedir(dir);
    std::sort(result.begin(), result.end());
    return result;
  }

  void directory(int a, int b, const std::string& path) {
    const auto left = names(a, path);
    const auto right = names(b, path);
    std::vector<std::string> all;
    std::set_union(left.begin(), left.end(), right.begin(), right.end(), std::back_inserter(all));
    for (const auto& name : all) {
      const std::string child = path.empty() ? name : path + "/" + name;
      if (excluded.count(child) != 0) continue;
      const bool in_a = std::binary_search(left.begin(), left.end(), name);
      const bool in_b = std::binary_search(right.begin(), right.end(), name);
      if (in_a && in_b) {
        entry(place(a, name, child), place(b, name, child), child);
      } else {
        differ(child, in_a ? "only in A" : "only in B");
      }
    }
  }

  void entry(const Place& a, const Place& b, const std::string& path) {
    if (!attributes(a, b, path)) return;
    if (S_ISDIR(a.st.st_mode)) {
      const Fd da(openat(a.dir, a.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      const Fd db(openat(b.dir, b.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (da.value < 0 || db.value < 0) die(path);
      directory(da.value, db.value, path);
      return;
    }
    if (S_ISLNK(a.st.st_mode) && target(a) != target(b))
      differ(path, "target " + escaped(target(a)) + " | " + escaped(target(b)));
    if (links(a, b, path) && S_ISREG(a.st.st_mode) && a.st.st_size == b.st.st_size)
      content(a, b, path);
  }

  // False if the types differ, so that nothing more can be compared.
  bool attributes(const Place& a, const Place& b, const std::string& path) {
    if ((a.st.st_mode & S_IFMT) != (b.st.st_mode & S_IFMT)) {
      same(path, "type", a.st.st_mode & S_IFMT, b.st.st_mode & S_IFMT, "%o");
      return false;
    }
    same(path, "mode", a.st.st_mode & 07777, b.st.st_mode & 07777, "%o");
    same(path, "uid", a.st.st_uid, b.st.st_uid, "%u");
    same(path, "gid", a.st.st_gid, b.st.st_gid, "%u");
    if (!S_ISDIR(a.st.st_mode)) same<long long>(path, "size", a.st.st_size, b.st.st_size, "%lld");
    const auto ns = [](const struct stat& st) {
      return st.st_mtim.tv_sec * 1'000'000'000LL + st.st_mtim.tv_nsec;
    };
    same<long long>(path, "mtime", ns(a.st), ns(b.st), "%lld");
    if (S_ISCHR(a.st.st_mode) || S_ISBLK(a.st.st_mode))
      same<unsigned long>(path, "device", a.st.st_rdev, b.st.st_rdev, "%lx");
    const auto xa = xattrs(a);
    const auto xb = xattrs(b);
    if (xa != xb) {
      std::set<std::string> keys;
      for (const auto& [key, value] : xa) keys.insert(key);
      for (const auto& [key, value] : xb) keys.insert(key);
      for (const auto& key : keys) {
        if (xa.count(key) == 0 || xb.count(key) == 0)
          differ(path,
                 "attribute " + escaped(key) + (xa.count(key) != 0 ? " only in A" : " only in B"));
        else if (xa.at(key) != xb.at(key))
          differ(path, "attribute " + escaped(key) + " " + escaped(xa.at(key)) + " | " +
                           escaped(xb.at(key)));
      }
    }
    return true;
  }

  static std::map<std::string, std::string> xattrs(const Place& p) {
    const std::string path = p.proc();
    std::vector<char> list(64 * 1024);
    const ssize_t bytes = llistxattr(path.c_str(), list.data(), list.size());
    if (bytes < 0) {
      if (errno == ENOTSUP) return {};
      die(p.path);
    }
    std::map<std::string, std::string> result;
    for (const char* key = list.data(); key < list.data() + bytes; key += std::strlen(key) + 1) {
      if (std::strcmp(key, "security.selinux") == 0) continue;
      if (std::strncmp(key, "trusted.SGI_ACL_", 16) == 0)
        continue;  // xfs: its ACLs, listed a second time
      std::string value(64 * 1024, '\0');
      const ssize_t size = lgetxattr(path.c_str(), key, value.data(), value.size());
      if (size < 0) die(p.path);
      value.resize(static_cast<size_t>(size));
      result[key] = value;
    }
    return result;
  }

  static std::string target(const Place& p) {
    std::string buffer(4096, '\0');
    const ssize_t bytes = readlinkat(p.dir, p.name.c_str(), buffer.data(), buffer.size());
    if (bytes < 0) die(p.path);
    buffer.resize(static_cast<size_t>(bytes));
    return buffer;
  }

  // The names of one inode in A must be the names of one inode in B, and the other way round. True
  // if this pair of inodes is new, so that its content has not been compared yet.
  bool links(const Place& a, const Place& b, const std::string& path) {
    const InodeKey ka{a.st.st_dev, a.st.st_ino};
    const InodeKey kb{b.st.st_dev, b.st.st_ino};
    if (a.st.st_nlink == 1 && b.st.st_nlink == 1) return true;
    const auto [ita, new_a] = partner_of_a_.try_emplace(ka, kb, path);
    const auto [itb, new_b] = partner_of_b_.try_emplace(kb, ka, path);
    if (ita->second.first != kb)
      differ(path, "in A a link of " + escaped(ita->second.second) + ", in B not");
    if (itb->second.first != ka)
      differ(path, "in B a link of " + escaped(itb->second.second) + ", in A not");
    return new_a || new_b;
  }

  void content(const Place& a, const Place& b, const std::string& path) {
    const Fd fa(openat(a.dir, a.name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    const Fd fb(openat(b.dir, b.name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (fa.value < 0 || fb.value < 0) die(path);
    // Made once: to zero them for every small file costs more than to read it.
    static std::vector<char> ba(chunk_bytes), bb(chunk_bytes);
    for (off_t at = 0; at < a.st.st_size;) {
      const size_t na = fill(fa.value, ba, at, path);
      const size_t nb = fill(fb.value, bb, at, path);
      if (na != nb || std::memcmp(ba.data(), bb.data(), na) != 0) {
        size_t i = 0;
        while (i < std::min(na, nb) && ba[i] == bb[i]) ++i;
        differ(path, "content from byte " + std::to_string(at + static_cast<off_t>(i)));
        return;
      }
      if (na == 0) break;
      at += static_cast<off_t>(na);
    }
    if (compare_holes) {
      const off_t ha = hole_bytes(fa.value, a.st.st_size);
      const off_t hb = hole_bytes(fb.value, b.st.st_size);
      if (ha >= 256 * 1024 && hb < ha / 2) same<long long>(path, "hole bytes", ha, hb, "%lld");
    }
  }

  static size_t fill(int fd, std::vector<char>& buffer, off_t at, const std::string& path) {
    size_t have = 0;
    while (have < buffer.size()) {
      const ssize_t n =
          pread(fd, buffer.data() + have, buffer.size() - have, at + static_cast<off_t>(have));
      if (n < 0) die(path);
      if (n == 0) break;
      have += static_cast<size_t>(n);
    }
    return have;
  }

  static off_t hole_bytes(int fd, off_t size) {
    off_t data = 0;
    for (off_t at = 0; at < size;) {
      const off_t begin = lseek(fd, at, SEEK_DATA);
      if (begin < 0) break;
      const off_t end = lseek(fd, begin, SEEK_HOLE);
      data += end - begin;
      at = end;
    }
    return size - data;
  }
};

}  // namespace

int main(int argc, char** argv) {
  Comparison comparison;
  std::vector<const char*> roots;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--exclude" && i + 1 < argc) {
      comparison.excluded.insert(argv[++i]);
    } else if (arg == "--no-root") {
      comparison.compare_root = false;
    } else if (arg == "--holes") {
      comparison.compare_holes = true;
    } else {
      roots.push_back(argv[i]);
    }
  }
  if (roots.size() != 2) {
    std::fprintf(stderr, "usage: treecmp [--exclude PATH]... [--no-root] [--holes] A B\n");
    return 2;
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;  // one descriptor per level and side
  setrlimit(RLIMIT_NOFILE, &files);
  return comparison.run(roots[0], roots[1]);
}
