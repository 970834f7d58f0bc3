#include "engine/apply/remover.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <map>

#include "engine/apply/compare.h"
#include "engine/base/escape.h"

namespace repl::apply {

namespace {

using Children = std::map<std::string, Entry, std::less<>>;

Children children_of(const Index& index, DirId dir) {
  Children children;
  index.for_children(dir, [&](std::string_view name, const Entry& entry) {
    children.emplace(name, entry);
    return true;
  });
  return children;
}

// The directories below a detached one: as the index has them, but for where the top hangs.
class DetachedParents final : public DirParents {
 public:
  DetachedParents(const Index& index, DirId top, std::string name)
      : index_(index), top_(top), name_(std::move(name)) {}
  [[nodiscard]] std::optional<Place> place_of(DirId dir) const override {
    if (dir == top_) return Place{.parent = root_dir, .name = name_};
    return index_.place_of(dir);
  }

 private:
  const Index& index_;
  DirId top_;
  std::string name_;
};

}  // namespace

Result<std::unordered_set<DirId>> Remover::impure(DirId top) {
  std::unordered_set<DirId> found;
  std::vector<DirId> waiting = {top};
  while (!waiting.empty()) {
    const DirId dir = waiting.back();
    waiting.pop_back();
    const Result<int> fd = shop_.dirs.open(dir);
    if (!fd) return fail(fd.error());
    const Children known = children_of(shop_.index, dir);
    bool unknown = false;
    const Status listed = io::list_dir(*fd, [&](std::string_view name, FileType) {
      unknown = !known.contains(name);
      return !unknown;
    });
    if (!listed) return fail(listed.error());
    for (DirId at = dir; unknown && found.insert(at).second && at != top;) {
      const auto place = shop_.index.place_of(at);
      if (!place) break;
      at = place->parent;
    }
    for (const auto& [name, entry] : known) {
      if (entry.attr.type == FileType::directory) waiting.push_back(entry.attr.dir);
    }
  }
  return found;
}

Result<bool> Remover::is_as_known(int dir, const std::string& name, DirId top) {
  Fd root(::fcntl(dir, F_DUPFD_CLOEXEC, 0));
  if (!root.valid()) return fail_errno("duplicate a descriptor");
  const DetachedParents parents(shop_.index, top, name);
  io::DirCache dirs(std::move(root), parents);
  std::vector<DirId> waiting = {top};
  while (!waiting.empty()) {
    const DirId at = waiting.back();
    waiting.pop_back();
    const Result<int> fd = dirs.open(at);
    if (!fd && fd.error().code == ErrorCode::changed) return false;
    if (!fd) return fail(fd.error());
    const Children known = children_of(shop_.index, at);
    std::vector<std::string> names;
    const Status listed = io::list_dir(*fd, [&](std::string_view child, FileType) {
      names.emplace_back(child);
      return true;
    });
    if (!listed) return fail(listed.error());
    for (const std::string& child : names) {
      const auto it = known.find(child);
      if (it == known.end()) return false;
      const Result<Look> seen =
          look(*fd, child, &it->second, shop_.own_ctime_of(it->second), nullptr);
      if (!seen) return fail(seen.error());
      if (seen->present == Present::other) {
        // A directory's own ctime changes with its entries, which are looked at one by one.
        const bool same_dir =
            seen->stat.attr.type == FileType::directory &&
            seen->stat.local.inode == it->second.local.inode &&
            stat_difference(it->second.attr, seen->stat, DirTimes::ignore).empty();
        if (!same_dir) return false;
      }
      if (it->second.attr.type == FileType::directory && seen->present != Present::absent) {
        waiting.push_back(it->second.attr.dir);
      }
    }
  }
  return true;
}

Status Remover::remove(const Key& key) {
  const std::optional<Entry> entry = shop_.index.get(key);
  if (!entry && !shop_.holds.all().contains(key)) {
    shop_.settled(key);
    return {};
  }
  const Status done = entry ? remove_one(key, *entry) : remove_foreign(key);
  if (done || concerns_everything(done.error())) return done;
  shop_.hold_removal(key, done.error().message);
  return {};
}

// A held name that the index does not know: what stands there was made here.
Status Remover::remove_foreign(const Key& key) {
  const Result<int> parent = shop_.dirs.open(key.dir);
  if (!parent) return fail(parent.error());
  const Result<io::Stat> seen = io::stat_at(*parent, key.name);
  if (!seen && seen.error().code != ErrorCode::not_found) return fail(seen.error());
  if (seen && !shop_.may_replace(key)) {
    shop_.hold_removal(key, "it was made here");
    return {};
  }
  if (seen) {
    shop_.touched.insert(key.dir);
    if (const Status kept = shop_.keep(*parent, key.name, key); !kept) return kept;
  }
  shop_.settled(key);
  return {};
}

Status Remover::remove_one(const Key& key, const Entry& entry) {
  const Result<int> parent = shop_.dirs.open(key.dir);
  if (!parent) return fail(parent.error());
  const Result<Look> seen = look(*parent, key.name, &entry, shop_.own_ctime_of(entry), nullptr);
  if (!seen) return fail(seen.error());
  const bool is_dir = entry.attr.type == FileType::directory;
  if (seen->present == Present::absent) {
    shop_.index.remove(key, shop_.cut.begin.cut);
    shop_.settled(key);
    return {};
  }
  const bool same_dir = is_dir && seen->stat.attr.type == FileType::directory &&
                        seen->stat.local.inode == entry.local.inode &&
                        stat_difference(entry.attr, seen->stat, DirTimes::ignore).empty();
  if (seen->present != Present::expected && !same_dir) {
    if (!shop_.may_replace(key)) {
      shop_.hold_removal(key, "it was changed here since it was replicated");
      return {};
    }
    shop_.touched.insert(key.dir);
    if (const Status kept = shop_.keep(*parent, key.name, key); !kept) return kept;
    shop_.index.remove(key, shop_.cut.begin.cut);
    shop_.settled(key);
    return {};
  }
  if (is_dir) {
    const Result<std::unordered_set<DirId>> impure_dirs = impure(entry.attr.dir);
    if (!impure_dirs) return fail(impure_dirs.error());
    if (!impure_dirs->empty()) {
      if (const Status gone = forget_below(entry.attr.dir, *impure_dirs); !gone) return gone;
      // A child that is held below keeps its directories in the index.
      if (shop_.index.summary(entry.attr.dir)->children > 0) return {};
      shop_.notices.push_back(
          fmt::format("{} still holds files that are not replicated: it stays", shop_.path(key)));
      shop_.dirs.forget(entry.attr.dir);
      shop_.index.remove(key, shop_.cut.begin.cut);
      shop_.settled(key);
      return {};
    }
  }
  return take_out(key, entry, seen->stat);
}

Status Remover::take_out(const Key& key, const Entry& entry, const io::Stat& before) {
  const Result<int> parent = shop_.dirs.open(key.dir);
  if (!parent) return fail(parent.error());
  Slot slot{.dir = shop_.staging.old_dir(), .name = shop_.staging.fresh_name()};
  if (const Status moved = io::rename_noreplace(*parent, key.name, slot.dir, slot.name); !moved) {
    if (moved.error().code != ErrorCode::not_found) return moved;
    if (entry.attr.type == FileType::directory) shop_.dirs.forget(entry.attr.dir);
    shop_.index.remove(key, shop_.cut.begin.cut);
    shop_.settled(key);
    return {};
  }
  shop_.touched.insert(key.dir);
  // RACE: between the look and the rename somebody may have put another object there, or written
  // into it. What came out is compared; the worst case is that it is invisible until it is put
  // back.
  const Result<io::Stat> after = io::stat_at(slot.dir, slot.name);
  Result<bool> known = after ? Result<bool>(same_object(before, *after)) : fail(after.error());
  if (known && *known && entry.attr.type == FileType::directory)
    known = is_as_known(slot.dir, slot.name, entry.attr.dir);
  if (known && !*known && shop_.may_replace(key)) {
    if (const Status kept = shop_.keep(slot.dir, slot.name, key); !kept) return kept;
  } else if (!known || !*known) {
    // What could not be looked at goes back, too.
    const Status back = io::rename_noreplace(slot.dir, slot.name, *parent, key.name);
    if (!back) {
      if (const Status kept = shop_.keep(slot.dir, slot.name, key); !kept) return kept;
    }
    if (!known) return fail(known.error());
    shop_.hold_removal(key, "it, or something in it, was changed here since it was replicated");
    return {};
  } else {
    if (after->nlink > 1 && after->attr.type != FileType::directory) {
      shop_.own_ctime[after->local.inode] = after->local.ctime;
    }
    shop_.work.displaced.push_back(slot);
  }
  if (entry.attr.type == FileType::directory) shop_.dirs.forget(entry.attr.dir);
  shop_.index.remove(key, shop_.cut.begin.cut);
  shop_.settled(key);
  return {};
}

Status Remover::forget_below(DirId top, const std::unordered_set<DirId>& impure_dirs) {
  // Top-down list of the impure directories; pure ones below go in one rename each. Then bottom-up.
  std::vector<Key> order;
  std::vector<DirId> waiting = {top};
  while (!waiting.empty()) {
    const DirId dir = waiting.back();
    waiting.pop_back();
    for (const auto& [name, entry] : children_of(shop_.index, dir)) {
      const bool stays =
          entry.attr.type == FileType::directory && impure_dirs.contains(entry.attr.dir);
      order.push_back(Key{.dir = dir, .name = name});
      if (stays) waiting.push_back(entry.attr.dir);
    }
  }
  for (auto key = order.rbegin(); key != order.rend(); ++key) {
    const std::optional<Entry> entry = shop_.index.get(*key);
    if (!entry) continue;
    const bool stays =
        entry->attr.type == FileType::directory && impure_dirs.contains(entry->attr.dir);
    if (stays) {
      if (shop_.index.summary(entry->attr.dir)->children > 0) continue;
      shop_.dirs.forget(entry->attr.dir);
      shop_.index.remove(*key, shop_.cut.begin.cut);
      continue;
    }
    if (const Status gone = remove(*key); !gone) return gone;
  }
  return {};
}

Status Remover::remove_known_below(DirId top) {
  const Result<std::unordered_set<DirId>> impure_dirs = impure(top);
  if (!impure_dirs) return fail(impure_dirs.error());
  return forget_below(top, *impure_dirs);
}

}  // namespace repl::apply
