#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"

namespace repl::io {

namespace {

Status rename_with(int from_dir, std::string_view from, int to_dir, std::string_view to,
                   unsigned flags) {
  const Leaf from_leaf(from);
  const Leaf to_leaf(to);
  if (!from_leaf.ok()) return fail_illegal(from);
  if (!to_leaf.ok()) return fail_illegal(to);
  if (::renameat2(from_dir, from_leaf.c_str(), to_dir, to_leaf.c_str(), flags) != 0) {
    const int saved = errno;
    return fail(sys_error(fmt::format("rename {} to {}", escape(from), escape(to)), saved));
  }
  return {};
}

Result<unsigned> mode_of_type(FileType type) {
  switch (type) {
    case FileType::fifo:
      return S_IFIFO;
    case FileType::socket:
      return S_IFSOCK;
    case FileType::char_device:
      return S_IFCHR;
    case FileType::block_device:
      return S_IFBLK;
    default:
      return fail(ErrorCode::invalid, "only fifos, sockets and devices are made as nodes");
  }
}

}  // namespace

Status make_dir(int dir, std::string_view name, uint16_t mode) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  if (::mkdirat(dir, leaf.c_str(), mode) != 0) return fail_named("make directory", name);
  return {};
}

Status make_symlink(int dir, std::string_view name, const std::string& target) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  const bool legal = !target.empty() && target.size() <= limits::symlink_target_bytes_max &&
                     target.find('\0') == std::string::npos;
  if (!legal) {
    return fail(ErrorCode::invalid, fmt::format("the target of symlink {} is empty, longer than {} "
                                                "bytes, or has a NUL",
                                                escape(name), limits::symlink_target_bytes_max));
  }
  if (::symlinkat(target.c_str(), dir, leaf.c_str()) != 0) return fail_named("make symlink", name);
  return {};
}

Status make_node(int dir, std::string_view name, FileType type, uint64_t rdev) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  const Result<unsigned> format = mode_of_type(type);
  if (!format) return fail(format.error());
  const bool is_device = type == FileType::char_device || type == FileType::block_device;
  if (::mknodat(dir, leaf.c_str(), *format | 0600, is_device ? rdev : 0) != 0) {
    return fail_named("make node", name);
  }
  return {};
}

Status link_at(int from_dir, std::string_view from, int to_dir, std::string_view to) {
  const Leaf from_leaf(from);
  const Leaf to_leaf(to);
  if (!from_leaf.ok()) return fail_illegal(from);
  if (!to_leaf.ok()) return fail_illegal(to);
  if (::linkat(from_dir, from_leaf.c_str(), to_dir, to_leaf.c_str(), 0) != 0) {
    const int saved = errno;
    return fail(sys_error(fmt::format("link {} as {}", escape(from), escape(to)), saved));
  }
  return {};
}

Status rename_noreplace(int from_dir, std::string_view from, int to_dir, std::string_view to) {
  return rename_with(from_dir, from, to_dir, to, RENAME_NOREPLACE);
}

Status rename_exchange(int from_dir, std::string_view from, int to_dir, std::string_view to) {
  return rename_with(from_dir, from, to_dir, to, RENAME_EXCHANGE);
}

Status unlink_at(int dir, std::string_view name) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  if (::unlinkat(dir, leaf.c_str(), 0) != 0) return fail_named("remove", name);
  return {};
}

Status remove_dir(int dir, std::string_view name) {
  const Leaf leaf(name);
  if (!leaf.ok()) return fail_illegal(name);
  if (::unlinkat(dir, leaf.c_str(), AT_REMOVEDIR) != 0) return fail_named("remove directory", name);
  return {};
}

}  // namespace repl::io
