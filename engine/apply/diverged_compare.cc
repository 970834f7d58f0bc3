#include "engine/apply/diverged_compare.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "engine/apply/diverged_files.h"
#include "engine/apply/object_copy.h"
#include "engine/base/limits.h"

namespace repl::apply::diverged {

namespace {

using Differences = std::vector<std::string_view>;

Differences differences(const Attributes& kept, const Attributes& now) {
  if (kept.type != now.type) return {"type"};
  Differences found;
  const auto note = [&](bool differs, std::string_view what) {
    if (differs) found.push_back(what);
  };
  note(kept.type != FileType::symlink && kept.mode != now.mode, "mode");
  note(kept.uid != now.uid, "owner");
  note(kept.gid != now.gid, "group");
  note(kept.type != FileType::directory && kept.mtime != now.mtime, "modification time");
  note(kept.rdev != now.rdev, "device number");
  note(kept.target != now.target, "target");
  note(kept.xattrs != now.xattrs, "extended attributes");
  return found;
}

Result<bool> same_bytes(int a, int b, uint64_t size) {
  constexpr size_t step = limits::data_chunk_bytes_max;
  const auto buffer = std::make_unique_for_overwrite<char[]>(2 * step);
  for (uint64_t at = 0; at < size; at += step) {
    const Result<size_t> got_a = io::read_at(a, at, buffer.get(), step);
    if (!got_a) return fail(got_a.error());
    const Result<size_t> got_b = io::read_at(b, at, buffer.get() + step, step);
    if (!got_b) return fail(got_b.error());
    if (*got_a != *got_b || std::memcmp(buffer.get(), buffer.get() + step, *got_a) != 0)
      return false;
    if (*got_a == 0) return true;  // both shrank
  }
  return true;
}

Result<bool> same_content(const Item& item, int objects, int dir, std::string_view name,
                          const io::Stat& now) {
  if (item.attr->size != now.attr.size) return false;
  if (!item.has_object) return true;
  const Result<Fd> kept = io::open_read(objects, object_name(item.number));
  if (!kept) return fail(kept.error());
  const Result<Fd> shown = io::open_read(dir, name);
  if (!shown) return fail(shown.error());
  return same_bytes(kept->get(), shown->get(), now.attr.size);
}

Comparison judged(Differences what, const io::Stat& stat) {
  return {.now = what.empty() ? Now::same : Now::differs, .what = std::move(what), .stat = stat};
}

}  // namespace

Result<Comparison> compare(const Item& item, int objects, int dir, std::string_view name) {
  const Result<WholeObject> now = read_whole(dir, name);
  if (!now && now.error().code == ErrorCode::not_found) return Comparison{};
  if (!now) return fail(now.error());
  if (item.change == Change::deleted || !item.attr)
    return Comparison{.now = Now::differs, .what = {}, .stat = now->stat};
  Differences what = differences(*item.attr, now->attr);
  if (item.attr->type == FileType::regular && now->attr.type == FileType::regular) {
    const Result<bool> same = same_content(item, objects, dir, name, now->stat);
    if (!same) return fail(same.error());
    if (!*same) what.insert(what.begin(), "content");
  }
  return judged(std::move(what), now->stat);
}

Result<Comparison> compare_directory(const Item& item, int fd) {
  const Result<io::Stat> stat = io::stat_fd(fd);
  if (!stat) return fail(stat.error());
  Result<std::string> xattrs = io::read_xattrs(fd);
  if (!xattrs) return fail(xattrs.error());
  Attributes now = stat->attr;
  now.xattrs = std::move(*xattrs);
  return judged(item.attr ? differences(*item.attr, now) : Differences(), *stat);
}

}  // namespace repl::apply::diverged
