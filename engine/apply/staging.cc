#include "engine/apply/staging.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/base/limits.h"
#include "engine/io/fs_ops.h"

namespace repl::apply {

namespace {

constexpr uint16_t private_mode = 0700;

Status open_spread(int parent, std::array<Fd, spread_dirs>& out) {
  for (size_t n = 0; n < spread_dirs; ++n) {
    Result<Fd> fd = open_private_dir(parent, std::to_string(n));
    if (!fd) return fail(fd.error());
    out[n] = std::move(*fd);
  }
  return {};
}

Status empty_dir(int dir) {
  const Result<std::vector<std::string>> names = names_in(dir);
  if (!names) return fail(names.error());
  for (const std::string& name : *names) {
    if (const Status gone = io::remove_tree(dir, name); !gone) return gone;
  }
  return {};
}

}  // namespace

Result<Fd> open_private_dir(int parent, std::string_view name) {
  Result<Fd> fd = io::open_dir(parent, name);
  if (fd || fd.error().code != ErrorCode::not_found) return fd;
  if (const Status made = io::make_dir(parent, name, private_mode); !made)
    return fail(made.error());
  return io::open_dir(parent, name);
}

Result<std::vector<std::string>> names_in(int dir) {
  std::vector<std::string> names;
  const Status listed = io::list_dir(dir, [&](std::string_view name, FileType) {
    names.emplace_back(name);
    return true;
  });
  if (!listed) return fail(listed.error());
  return names;
}

Result<std::unique_ptr<Staging>> Staging::open(Fd area) {
  std::unique_ptr<Staging> staging(new Staging);
  staging->area_ = std::move(area);
  if (const Status opened = staging->open_all(); !opened) return fail(opened.error());
  if (const Status purged = staging->purge_stages(); !purged) return fail(purged.error());
  for (const int dir : {staging->old_dir(), staging->kept_dir(), staging->plan_dir()}) {
    if (const Status learnt = staging->learn_names(dir); !learnt) return fail(learnt.error());
  }
  for (size_t n = 0; n < spread_dirs; ++n) {
    if (const Status learnt = staging->learn_names(staging->new_dir(n)); !learnt)
      return fail(learnt.error());
  }
  return staging;
}

Status Staging::open_all() {
  const std::array<std::pair<std::string_view, Fd*>, 5> wanted = {
      {{"stage", &stage_}, {"new", &new_}, {"old", &old_}, {"kept", &kept_}, {"plan", &plan_}}};
  for (const auto& [name, out] : wanted) {
    Result<Fd> fd = open_private_dir(area_.get(), name);
    if (!fd) return fail(fd.error());
    *out = std::move(*fd);
  }
  if (const Status spread = open_spread(stage_.get(), stage_spread_); !spread) return spread;
  return open_spread(new_.get(), new_spread_);
}

// What is not a resumable content goes: another name, another directory than its id belongs in, no
// byte yet.
Status Staging::purge_stages() {
  for (const Fd& dir : stage_spread_) {
    const Result<std::vector<std::string>> names = names_in(dir.get());
    if (!names) return fail(names.error());
    for (const std::string& name : *names) {
      StageId id;
      const Result<io::Stat> stat = io::stat_at(dir.get(), name);
      const bool resumable = from_hex(name, id) && stage_dir(id) == dir.get() && stat &&
                             stat->attr.type == FileType::regular && stat->attr.size > 0;
      if (resumable) continue;
      if (const Status gone = io::remove_tree(dir.get(), name); !gone) return gone;
    }
  }
  return {};
}

Status Staging::learn_names(int dir) {
  return io::list_dir(dir, [&](std::string_view name, FileType) {
    uint64_t number = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number, 16);
    if (parsed.ec == std::errc{}) next_name_ = std::max(next_name_, number + 1);
    return true;
  });
}

std::string Staging::fresh_name() { return fmt::format("{:x}", next_name_++); }

Result<std::vector<StageProgress>> Staging::progress() const {
  std::vector<StageProgress> found;
  for (const Fd& dir : stage_spread_) {
    const Result<std::vector<std::string>> names = names_in(dir.get());
    if (!names) return fail(names.error());
    for (const std::string& name : *names) {
      StageProgress stage;
      if (!from_hex(name, stage.stage)) continue;
      const Result<io::Stat> stat = io::stat_at(dir.get(), name);
      if (!stat) return fail(stat.error());
      stage.bytes = stat->attr.size;
      found.push_back(stage);
    }
  }
  std::ranges::sort(found, std::greater<>(), &StageProgress::bytes);
  if (found.size() > limits::records_per_message_max) found.resize(limits::records_per_message_max);
  return found;
}

Status Staging::drop_stages() {
  for (const Fd& dir : stage_spread_) {
    if (const Status gone = empty_dir(dir.get()); !gone) return gone;
  }
  return {};
}

Result<std::vector<Slot>> Staging::set_stages_aside(const std::unordered_set<StageId>& stay) {
  std::vector<Slot> aside;
  for (const Fd& dir : stage_spread_) {
    const Result<std::vector<std::string>> names = names_in(dir.get());
    if (!names) return fail(names.error());
    for (const std::string& name : *names) {
      StageId id;
      std::string_view hex = name;
      if (hex.ends_with(unfinished_mark)) hex.remove_suffix(1);
      if (from_hex(hex, id) && stay.contains(id)) continue;
      Slot slot{.dir = old_dir(), .name = fresh_name()};
      const Status moved = io::rename_noreplace(dir.get(), name, slot.dir, slot.name);
      if (!moved) return fail(moved.error());
      aside.push_back(std::move(slot));
    }
  }
  return aside;
}

Status Staging::purge() {
  for (const Fd& dir : new_spread_) {
    if (const Status gone = empty_dir(dir.get()); !gone) return gone;
  }
  return empty_dir(old_.get());
}

}  // namespace repl::apply
