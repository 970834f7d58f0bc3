#include "engine/io/xattrs.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"

namespace repl::io {

namespace {

constexpr int unstable_tries_max = 8;
constexpr size_t first_list_bytes = 1024;

// Labels belong to the node's own policy. XFS lists an ACL a second time, under the name and in the
// format it has on its disk: removing that one would remove the ACL.
bool is_replicated(std::string_view name) {
  return name != "security.selinux" && name != "trusted.SGI_ACL_FILE" &&
         name != "trusted.SGI_ACL_DEFAULT";
}

// One object's attributes: by descriptor, or by a path below /proc/self/fd that is followed or not.
class Source {
 public:
  explicit Source(int fd) : fd_(fd) {}
  Source(std::string path, bool follow) : path_(std::move(path)), follow_(follow) {}

  ssize_t list(char* buffer, size_t size) {
    if (path_.empty()) {
      const ssize_t got = ::flistxattr(fd_, buffer, size);
      if (got >= 0 || errno != EBADF || !is_path_fd(fd_)) return got;
      path_ = fd_path(fd_);
    }
    return follow_ ? ::listxattr(path_.c_str(), buffer, size)
                   : ::llistxattr(path_.c_str(), buffer, size);
  }
  ssize_t get(const char* name, char* buffer, size_t size) const {
    if (path_.empty()) return ::fgetxattr(fd_, name, buffer, size);
    return follow_ ? ::getxattr(path_.c_str(), name, buffer, size)
                   : ::lgetxattr(path_.c_str(), name, buffer, size);
  }

 private:
  int fd_ = -1;
  std::string path_;
  bool follow_ = true;
};

std::unexpected<Error> fail_too_many() {
  return fail(ErrorCode::limit,
              fmt::format("extended attributes are larger than {} bytes", limits::xattrs_bytes_max),
              Remedy::skip);
}

// All names, NUL-separated.
Result<std::string> list_names(Source& source) {
  char first[first_list_bytes];
  ssize_t size = source.list(first, sizeof first);
  if (size >= 0) return std::string(first, static_cast<size_t>(size));
  if (errno == ERANGE) {
    std::string names(XATTR_LIST_MAX, '\0');
    size = source.list(names.data(), names.size());
    if (size >= 0) {
      names.resize(static_cast<size_t>(size));
      return names;
    }
  }
  if (errno == EOPNOTSUPP) return std::string();
  if (errno == E2BIG || errno == ERANGE) return fail_too_many();
  return fail_errno("list extended attributes");
}

std::vector<std::string_view> split_sorted(std::string_view names) {
  std::vector<std::string_view> split;
  while (!names.empty()) {
    const size_t length = std::min(names.find('\0'), names.size());
    const std::string_view name = names.substr(0, length);
    names.remove_prefix(std::min(length + 1, names.size()));
    if (is_replicated(name)) split.push_back(name);
  }
  std::sort(split.begin(), split.end());
  return split;
}

Result<std::string> read_from(Source source) {
  Result<std::string> names = list_names(source);
  if (!names || names->empty()) return names;
  std::string out;
  ByteWriter writer(out);
  std::string value(4096, '\0');
  for (const std::string_view name : split_sorted(*names)) {
    ssize_t size = -1;
    // The names lie in a buffer with a NUL after each: name.data() is a C string.
    for (int tries = 0; tries < unstable_tries_max; ++tries) {
      size = source.get(name.data(), value.data(), value.size());
      if (size >= 0 || errno != ERANGE) break;
      value.resize(XATTR_SIZE_MAX);
    }
    if (size < 0) {
      // RACE: removed since it was listed; ctime tells the caller that it changed.
      if (errno == ENODATA || errno == EOPNOTSUPP) continue;
      return fail_errno(fmt::format("read extended attribute {}", escape(name)));
    }
    writer.string(name);
    writer.string(std::string_view(value).substr(0, static_cast<size_t>(size)));
    if (out.size() > limits::xattrs_bytes_max) return fail_too_many();
  }
  return out;
}

}  // namespace

std::string fd_path(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

bool is_path_fd(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_PATH) != 0;
}

Result<std::string> read_xattrs(int fd) { return read_from(Source(fd)); }

Result<std::string> read_xattrs_at(int dir, std::string_view name) {
  if (!is_legal_name(name)) return fail_illegal(name);
  return read_from(Source(fmt::format("/proc/self/fd/{}/{}", dir, name), false));
}

Result<std::vector<XattrView>> parse_xattrs(std::string_view canonical) {
  std::vector<XattrView> parsed;
  ByteReader reader(canonical);
  while (reader.ok() && !reader.done()) {
    const XattrView next{.name = reader.string(), .value = reader.string()};
    const bool legal = reader.ok() && !next.name.empty() && next.name.size() <= XATTR_NAME_MAX &&
                       next.name.find('\0') == std::string_view::npos &&
                       next.value.size() <= XATTR_SIZE_MAX && is_replicated(next.name) &&
                       (parsed.empty() || parsed.back().name < next.name);
    if (!legal) return fail(ErrorCode::invalid, "extended attributes are not in canonical form");
    parsed.push_back(next);
  }
  return parsed;
}

Status set_xattr(int fd, bool by_path, std::string_view name, std::string_view value) {
  const std::string key(name);
  const int done = by_path
                       ? ::setxattr(fd_path(fd).c_str(), key.c_str(), value.data(), value.size(), 0)
                       : ::fsetxattr(fd, key.c_str(), value.data(), value.size(), 0);
  if (done != 0) return fail_errno(fmt::format("set extended attribute {}", escape(name)));
  return {};
}

Status remove_xattr(int fd, bool by_path, std::string_view name) {
  const std::string key(name);
  const int done =
      by_path ? ::removexattr(fd_path(fd).c_str(), key.c_str()) : ::fremovexattr(fd, key.c_str());
  if (done != 0 && errno != ENODATA) {
    return fail_errno(fmt::format("remove extended attribute {}", escape(name)));
  }
  return {};
}

}  // namespace repl::io
