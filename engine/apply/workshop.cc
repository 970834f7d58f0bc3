#include "engine/apply/workshop.h"

#include <fmt/core.h>

#include "engine/base/bytes.h"
#include "engine/base/escape.h"
#include "engine/index/entry_codec.h"

namespace repl::apply {

const Timestamp* Workshop::own_ctime_of(const Entry& entry) const {
  const auto it = own_ctime.find(entry.local.inode);
  return it == own_ctime.end() ? nullptr : &it->second;
}

void Workshop::hold(Item& item, std::string reason) {
  item.dropped = true;
  if (item.attr.dir.is_set()) cut.held_dirs.insert(item.attr.dir);
  log.warn("held: {}: {}", path(item.key), reason);
  refused.push_back(Refused{.cut = cut.begin.cut, .key = item.key, .hold = true, .reason = reason});
  owed.erase(item.key);
  holds.set(Hold{.key = item.key, .reason = std::move(reason), .wanted = item.attr});
}

void Workshop::hold_removal(const Key& key, std::string reason) {
  log.warn("held: remove {}: {}", path(key), reason);
  refused.push_back(Refused{.cut = cut.begin.cut, .key = key, .hold = true, .reason = reason});
  owed.erase(key);
  holds.set(Hold{.key = key, .reason = std::move(reason), .wants_removal = true});
}

void Workshop::settled(const Key& key) {
  owed.erase(key);
  holds.clear(key);
}

void Workshop::resend(Item& item, std::string reason) {
  item.dropped = true;
  owed.insert(item.key);
  refused.push_back(
      Refused{.cut = cut.begin.cut, .key = item.key, .hold = false, .reason = std::move(reason)});
}

Status Workshop::keep(int dir, const std::string& name, const Key& key) {
  const Result<io::Stat> stat = io::stat_at(dir, name);
  if (!stat) return fail(stat.error());
  if (stat->attr.type == FileType::regular) {
    const Result<Fd> file = io::open_read(dir, name);
    if (!file) return fail(file.error());
    if (const Status synced = io::sync_fd(file->get()); !synced) return synced;
  }
  if (stat->attr.type == FileType::directory) {
    if (const Status synced = io::sync_filesystem(staging.filesystem()); !synced) return synced;
  }
  const std::string kept_name = staging.fresh_name();
  const Status moved = io::rename_noreplace(dir, name, staging.kept_dir(), kept_name);
  if (!moved) return moved;
  if (const Status synced = io::sync_fd(staging.kept_dir()); !synced) return synced;
  note_kept(index, kept_name, key, cut.begin.cut);
  ++kept;
  return {};
}

void note_kept(Index& index, const std::string& name, const Key& key, CutNumber cut) {
  std::string value;
  ByteWriter out(value);
  out.string(index.path_of(key).value_or(key.name));
  out.string(key_bytes(key));
  out.u64(cut.value);
  index.put_meta(std::string(kept_meta) + name, value);
}

std::string Workshop::path(const Key& key) const {
  const std::optional<std::string> known = index.path_of(key);
  if (known) return escape(*known);
  return fmt::format("({}, {})", key.dir.value, escape(key.name));
}

}  // namespace repl::apply
