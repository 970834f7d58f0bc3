#include "engine/apply/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "engine/base/limits.h"
#include "engine/model/hash.h"

namespace repl::apply {

namespace {

bool is_device(FileType type) {
  return type == FileType::char_device || type == FileType::block_device;
}

Result<Fd> open_to_look(int dir, std::string_view name, FileType type) {
  return type == FileType::regular ? io::open_read(dir, name) : io::open_path(dir, name);
}

}  // namespace

std::string_view stat_difference(const Attributes& want, const io::Stat& have, DirTimes times) {
  if (have.attr.type != want.type) return "type";
  if (want.transit) return {};
  if (want.type != FileType::symlink && have.attr.mode != want.mode) return "mode";
  if (have.attr.uid != want.uid) return "owner";
  if (have.attr.gid != want.gid) return "group";
  if (want.type == FileType::regular && have.attr.size != want.size) return "size";
  if (is_device(want.type) && have.attr.rdev != want.rdev) return "device number";
  const bool skip_time = want.type == FileType::directory && times == DirTimes::ignore;
  if (!skip_time && have.attr.mtime != want.mtime) return "modification time";
  return {};
}

Result<std::string_view> fd_difference(const Attributes& want, int fd, const io::Stat& have,
                                       DirTimes times) {
  const std::string_view difference = stat_difference(want, have, times);
  if (!difference.empty() || want.transit) return difference;
  const Result<std::string> xattrs = io::read_xattrs(fd);
  if (!xattrs) return fail(xattrs.error());
  return *xattrs == want.xattrs ? std::string_view() : std::string_view("extended attributes");
}

Result<std::string_view> object_difference(int dir, std::string_view name, const io::Stat& have,
                                           const Attributes& want) {
  const std::string_view seen = stat_difference(want, have, DirTimes::ignore);
  if (!seen.empty()) return seen;
  if (want.type == FileType::regular && !want.content.is_set()) return "content";
  const Result<Fd> fd = open_to_look(dir, name, want.type);
  if (!fd) return fail(fd.error());
  // RACE: the name may have changed hands since `have` was read; the descriptor is what is
  // compared.
  const Result<io::Stat> now = io::stat_fd(fd->get());
  if (!now) return fail(now.error());
  if (now->local.inode != have.local.inode) return "inode";
  const Result<std::string_view> difference =
      fd_difference(want, fd->get(), *now, DirTimes::ignore);
  if (!difference || !difference->empty()) return difference;
  if (want.type == FileType::symlink) {
    const Result<std::string> target = io::read_link(dir, name);
    if (!target) return fail(target.error());
    return *target == want.target ? std::string_view() : std::string_view("target");
  }
  if (want.type != FileType::regular) return std::string_view();
  const Result<FileDigest> content = digest_file(fd->get());
  if (!content) return fail(content.error());
  return content->digest == want.content ? std::string_view() : std::string_view("content");
}

Result<bool> object_equals(int dir, std::string_view name, const io::Stat& have,
                           const Attributes& want) {
  const Result<std::string_view> difference = object_difference(dir, name, have, want);
  if (!difference) return fail(difference.error());
  return difference->empty();
}

Result<FileDigest> digest_file(int fd) {
  const Result<io::Stat> stat = io::stat_fd(fd);
  if (!stat) return fail(stat.error());
  const uint64_t size = stat->attr.size;
  const auto buffer = std::make_unique_for_overwrite<char[]>(limits::data_chunk_bytes_max);
  ContentHasher hasher;
  io::DataRange data;
  for (uint64_t at = 0; at < size;) {
    if (at >= data.end) {
      const Result<io::DataRange> next = io::next_data(fd, at, size);
      if (!next) return fail(next.error());
      data = *next;
      if (data.start > at) hasher.update_zeros(std::min(data.start, size) - at);
      at = std::max(at, data.start);
      if (at >= size) break;
    }
    const uint64_t want =
        std::min<uint64_t>(std::min(data.end, size) - at, limits::data_chunk_bytes_max);
    const Result<size_t> got = io::read_at(fd, at, buffer.get(), want);
    if (!got) return fail(got.error());
    if (*got == 0)
      return fail(ErrorCode::changed, "a file shrank while it was read", Remedy::retry);
    hasher.update(std::string_view(buffer.get(), *got));
    at += *got;
  }
  FileDigest out;
  out.digest = hasher.finish();
  out.blocks = hasher.blocks();
  out.size = size;
  return out;
}

Result<Look> look(int dir, std::string_view name, const Entry* expected, const Timestamp* own_ctime,
                  const Attributes* incoming) {
  Result<io::Stat> stat = io::stat_at(dir, name);
  if (!stat) {
    if (stat.error().code == ErrorCode::not_found) return Look{};
    return fail(stat.error());
  }
  Look found{.present = Present::other, .stat = *stat};
  if (expected != nullptr) {
    const bool same_inode =
        stat->local.inode == expected->local.inode && stat->attr.type == expected->attr.type;
    const bool same_ctime = stat->local.ctime == expected->local.ctime ||
                            (own_ctime != nullptr && stat->local.ctime == *own_ctime);
    if (same_inode && same_ctime) {
      found.present = Present::expected;
      return found;
    }
    // Another ctime alone is no drift: a chmod and back, a link made and removed, a restored file.
    const Result<bool> equal = object_equals(dir, name, *stat, expected->attr);
    if (!equal) return fail(equal.error());
    const bool may_stand_in = expected->attr.type != FileType::directory || same_inode;
    if (*equal && may_stand_in) {
      found.present = Present::expected;
      return found;
    }
  }
  if (incoming != nullptr) {
    const Result<bool> equal = object_equals(dir, name, *stat, *incoming);
    if (!equal) return fail(equal.error());
    if (*equal) found.present = Present::incoming;
  }
  return found;
}

bool same_object(const io::Stat& before, const io::Stat& after) {
  const Attributes& a = before.attr;
  const Attributes& b = after.attr;
  // xfs sets a directory's mtime when it is exchanged between two directories (its ".." is
  // rewritten).
  const bool same_time = a.type == FileType::directory || a.mtime == b.mtime;
  return before.local.inode == after.local.inode && a.type == b.type && a.mode == b.mode &&
         a.uid == b.uid && a.gid == b.gid && a.size == b.size && a.rdev == b.rdev && same_time;
}

bool concerns_everything(const Error& error) {
  if (error.code == ErrorCode::no_space) return true;
  switch (error.sys_errno) {
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case EROFS:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return true;
    default:
      return false;
  }
}

Error tried_again(Error error) {
  if (error.remedy == Remedy::retry) return error;
  error.remedy = Remedy::retry;
  const std::string_view help =
      error.sys_errno == EDQUOT           ? "the tree's quota is used up: raise it"
      : error.code == ErrorCode::no_space ? "the tree's filesystem is full: free some space"
      : error.sys_errno == EROFS          ? "the tree's filesystem is read-only: remount it"
      : error.sys_errno == EIO            ? "the tree's disk fails: see the kernel's log"
      : error.sys_errno == ENOMEM         ? "there is no memory left: raise its limit"
      : error.code == ErrorCode::io       ? "no descriptors are left: raise LimitNOFILE"
                                          : "";
  if (!help.empty()) error.message += fmt::format(" ({}; it is tried again)", help);
  return error;
}

}  // namespace repl::apply
