#include "engine/apply/object_copy.h"

#include <fmt/format.h>

#include <cerrno>
#include <string>

#include "engine/apply/compare.h"
#include "engine/base/escape.h"
#include "engine/base/limits.h"

namespace repl::apply {

namespace {

Status copy_content(int from, int to) {
  Result<io::Stat> before = io::stat_fd(from);
  for (int tries = 1; before; ++tries) {
    const Result<bool> cloned = io::clone_file(from, to);
    if (!cloned) return fail(cloned.error());
    if (!*cloned) {
      const auto copied = io::copy_range(from, 0, to, 0, before->attr.size);
      if (!copied && copied.error().code != ErrorCode::changed) return fail(copied.error());
    }
    const Result<io::Stat> after = io::stat_fd(from);
    if (!after) return fail(after.error());
    const bool stable =
        after->local.ctime == before->local.ctime && after->attr.size == before->attr.size;
    if (*cloned || stable || tries == limits::stable_read_tries_max) return {};
    if (const Status emptied = io::truncate(to, 0); !emptied) return emptied;
    before = after;
  }
  return fail(before.error());
}

Result<Fd> make_like(int from_dir, std::string_view from, const Attributes& want, int to_dir,
                     std::string_view to) {
  switch (want.type) {
    case FileType::regular: {
      const Result<Fd> source = io::open_read(from_dir, from);
      if (!source) return fail(source.error());
      Result<Fd> made = io::create_file(to_dir, to);
      if (!made) return made;
      if (const Status copied = copy_content(source->get(), made->get()); !copied)
        return fail(copied.error());
      return made;
    }
    case FileType::symlink:
      if (const Status made = io::make_symlink(to_dir, to, want.target); !made)
        return fail(made.error());
      return io::open_path(to_dir, to);
    default:
      if (const Status made = io::make_node(to_dir, to, want.type, want.rdev); !made)
        return fail(made.error());
      return io::open_path(to_dir, to);
  }
}

Status complete(int fd, const Attributes& want) {
  if (const Status set = io::set_attributes(fd, want, io::AttributeSet{}, nullptr); !set)
    return set;
  const Result<io::Stat> now = io::stat_fd(fd);
  if (!now) return fail(now.error());
  Attributes expected = want;
  expected.size = now->attr.size;  // of a file that never held still
  const Result<std::string_view> difference = fd_difference(expected, fd, *now, DirTimes::compare);
  if (!difference) return fail(difference.error());
  if (difference->empty()) return {};
  return fail(ErrorCode::unsupported,
              fmt::format("this filesystem does not keep the {} as it was set", *difference));
}

}  // namespace

Result<WholeObject> read_whole(int dir, std::string_view name) {
  const Result<Fd> fd = io::open_path(dir, name);
  if (!fd) return fail(fd.error());
  const Result<io::Stat> stat = io::stat_fd(fd->get());
  if (!stat) return fail(stat.error());
  Result<std::string> xattrs = io::read_xattrs(fd->get());
  if (!xattrs) return fail(xattrs.error());
  WholeObject whole{.attr = stat->attr, .stat = *stat};
  whole.attr.xattrs = std::move(*xattrs);
  if (whole.attr.type == FileType::symlink) {
    Result<std::string> target = io::read_link(dir, name);
    if (!target) return fail(target.error());
    whole.attr.target = std::move(*target);
  }
  return whole;
}

Status copy_object(int from_dir, std::string_view from, const Attributes& want, int to_dir,
                   std::string_view to) {
  if (want.type == FileType::none || want.type == FileType::directory)
    return fail(ErrorCode::invalid, escape(from) + " is a directory, and is not copied whole");
  const Result<Fd> made = make_like(from_dir, from, want, to_dir, to);
  const Status done = made ? complete(made->get(), want) : Status(fail(made.error()));
  // What was there before is not ours to remove.
  const bool was_there = !made && made.error().sys_errno == EEXIST;
  if (!done && !was_there) static_cast<void>(io::unlink_at(to_dir, to));
  return done;
}

}  // namespace repl::apply
