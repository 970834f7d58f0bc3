// The part of Publisher that changes attributes of what stays: on held descriptors, directories
// last.
#include <fcntl.h>

#include "engine/apply/compare.h"
#include "engine/apply/publisher.h"

namespace repl::apply {

namespace {

Result<Fd> open_object(int dir, std::string_view name, FileType type) {
  return type == FileType::regular ? io::open_read(dir, name) : io::open_path(dir, name);
}

// A visible object changes owner in several steps: between them nobody may do what neither the old
// nor the new attributes allow.
Status narrow(int fd, const io::Stat& now, const Attributes& want) {
  const bool other_owner = now.attr.uid != want.uid || now.attr.gid != want.gid;
  if (!other_owner || now.attr.type == FileType::symlink) return {};
  Attributes narrowed = now.attr;
  narrowed.mode = now.attr.mode & want.mode & 0700;
  return io::set_attributes(
      fd, narrowed, {.owner = false, .mode = true, .xattrs = false, .mtime = false}, nullptr);
}

}  // namespace

Result<io::Stat> change(int fd, const io::Stat& now, const Attributes& want,
                        const std::string* xattrs) {
  if (const Status narrowed = narrow(fd, now, want); !narrowed) return fail(narrowed.error());
  if (const Status set = io::set_attributes(fd, want, io::AttributeSet{}, xattrs); !set) {
    return fail(set.error());
  }
  Result<io::Stat> after = io::stat_fd(fd);
  if (!after) return after;
  const Result<std::string_view> difference = fd_difference(want, fd, *after, DirTimes::compare);
  if (!difference) return fail(difference.error());
  if (!difference->empty()) {
    return fail(ErrorCode::unsupported,
                "this filesystem does not keep the " + std::string(*difference) + " as it was set",
                Remedy::hold);
  }
  return after;
}

Status Publisher::hold_for_sync(int fd) {
  if (shop_.work.whole_filesystem) return {};
  Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return fail_errno("duplicate a descriptor");
  shop_.work.add(std::move(copy));
  return {};
}

// Compare-and-swap for what is changed where it stands.
Result<std::optional<Publisher::Known>> Publisher::hold_known(
    Item& item, const std::function<Result<Fd>(int dir, std::string_view name)>& opener) {
  const Result<int> parent = shop_.dirs.open(item.key.dir);
  if (!parent) return fail(parent.error());
  std::optional<Entry> entry = shop_.index.get(item.key);
  const Result<Look> seen = look(*parent, item.key.name, entry ? &*entry : nullptr,
                                 entry ? shop_.own_ctime_of(*entry) : nullptr, &item.attr);
  if (!seen) return fail(seen.error());
  if (seen->present == Present::incoming) {
    if (entry) item.stat.local.inode = entry->local.inode;
    if (stands_for(item, seen->stat))
      adopt(item, seen->stat);
    else
      shop_.resend(item, "an equal file that is another one is here");
    return std::nullopt;
  }
  if (seen->present != Present::expected) {
    if (!shop_.may_replace(item.key)) {
      shop_.hold(item, seen->present == Present::absent
                           ? "it was removed here since it was replicated"
                           : "it was changed here since it was replicated");
      return std::nullopt;
    }
    // Its content is not here any more: the drifted version goes aside when the whole arrives.
    shop_.resend(item, "it was changed here");
    return std::nullopt;
  }
  Result<Fd> fd = opener(*parent, item.key.name);
  if (!fd) return fail(fd.error());
  const Result<io::Stat> held = io::stat_fd(fd->get());
  if (!held) return fail(held.error());
  // RACE: the name may lead elsewhere since the look; the descriptor is what is changed.
  if (held->local.inode != seen->stat.local.inode || held->local.ctime != seen->stat.local.ctime) {
    shop_.hold(item, "it was changed here since it was replicated");
    return std::nullopt;
  }
  return Known{.fd = std::move(*fd), .stat = *held, .entry = std::move(*entry)};
}

Status Publisher::publish_metadata(Item& item) {
  Result<std::optional<Known>> known = hold_known(
      item, [&](int dir, std::string_view name) { return open_object(dir, name, item.attr.type); });
  if (!known) return fail(known.error());
  if (!*known) return {};
  Fd fd = std::move((*known)->fd);
  changed_tree_ = true;
  const Result<io::Stat> after = change(fd.get(), (*known)->stat, item.attr, nullptr);
  if (!after) return fail(after.error());
  if (after->nlink > 1) shop_.own_ctime[after->local.inode] = after->local.ctime;
  if (item.attr.type == FileType::regular)
    item.fd = std::move(fd);
  else
    shop_.work.whole_filesystem = true;
  record(item, *after);
  return {};
}

Status Publisher::finish_directories() {
  std::vector<Item>& items = shop_.cut.items;
  for (auto item = items.rbegin(); item != items.rend(); ++item) {
    if (item->dropped || item->attr.type != FileType::directory) continue;
    const bool stays = item->source == Source::metadata || item->source == Source::moved ||
                       merged_.contains(item->attr.dir);
    if (!stays) continue;
    const Status done = finish_directory(*item);
    if (done) continue;
    if (concerns_everything(done.error())) return done;
    shop_.hold(*item, done.error().message);
  }
  return restore_times();
}

Status Publisher::finish_directory(Item& item) {
  const Result<int> fd = shop_.dirs.open(item.attr.dir);
  if (!fd) return fail(fd.error());
  Result<io::Stat> now = io::stat_fd(*fd);
  if (!now) return fail(now.error());
  std::optional<Entry> entry = shop_.index.get(item.key);
  const bool left_alone =
      item.attr.transit || (item.key.is_root() && !shop_.policy.filter.root_is_included());
  if (!left_alone) {
    const Result<std::string> xattrs = io::read_xattrs(*fd);
    if (!xattrs) return fail(xattrs.error());
    const auto is = [&](const Attributes& attr) {
      return stat_difference(attr, *now, DirTimes::ignore).empty() && *xattrs == attr.xattrs;
    };
    const bool known = !entry || entry->attr.transit || merged_.contains(item.attr.dir) ||
                       is(entry->attr) || is(item.attr);
    if (!known && !shop_.may_replace(item.key)) {
      shop_.hold(item, "its attributes were changed here since it was replicated");
      return {};
    }
    changed_tree_ = true;
    now = change(*fd, *now, item.attr, &*xattrs);
    if (!now) return fail(now.error());
  }
  if (entry) now->local.handle = entry->local.handle;
  if (now->local.handle.empty()) {
    Result<std::string> handle = io::handle_of(*fd);
    if (!handle) return fail(handle.error());
    now->local.handle = std::move(*handle);
  }
  const Entry record{.attr = item.attr, .local = now->local, .cut = shop_.cut.begin.cut};
  if (!shop_.index.put(item.key, record))
    return fail(ErrorCode::limit, "the index refuses this directory");
  finished_.insert(item.attr.dir);
  shop_.settled(item.key);
  if (!item.published) ++published_;
  item.published = true;
  return hold_for_sync(*fd);
}

// What entered and left changed the times of directories that are not in the cut.
Status Publisher::restore_times() {
  for (const DirId dir : shop_.touched) {
    if (finished_.contains(dir)) continue;
    Key key = root_key;
    if (dir != root_dir) {
      const auto place = shop_.index.place_of(dir);
      if (!place) continue;
      key = Key{.dir = place->parent, .name = place->name};
    }
    const Result<int> fd = shop_.dirs.open(dir);
    if (!fd && concerns_everything(fd.error())) return fail(fd.error());
    if (!fd) continue;
    const std::optional<Entry> entry = shop_.index.get(key);
    const bool timed = entry && !entry->attr.transit &&
                       !(key.is_root() && !shop_.policy.filter.root_is_included());
    if (timed) {
      const io::AttributeSet time_only{
          .owner = false, .mode = false, .xattrs = false, .mtime = true};
      if (const Status set = io::set_attributes(*fd, entry->attr, time_only, nullptr); !set)
        return set;
    }
    Result<io::Stat> now = io::stat_fd(*fd);
    if (!now) return fail(now.error());
    if (entry) {
      now->local.handle = entry->local.handle;
      // A changed mode or owner is drift, not ours to absorb.
      if (stat_difference(entry->attr, *now, DirTimes::ignore).empty())
        shop_.index.put_local(key, now->local);
    }
    if (const Status held = hold_for_sync(*fd); !held) return held;
  }
  shop_.touched.clear();
  return {};
}

void Publisher::refresh_links() {
  for (const auto& [inode, ctime] : shop_.own_ctime) refresh_inode(shop_.index, shop_.dirs, inode);
  shop_.own_ctime.clear();
}

// Names of one group lead to one file. Where they do not, the index says so: what is proved equal
// is the tree, not what was sent, and the comparison that follows sends the group.
void Publisher::part_groups() {
  std::unordered_set<LinkId> seen;
  for (const Item& item : shop_.cut.items) {
    if (!item.published || item.dropped || !item.attr.link.is_set()) continue;
    const std::optional<Entry> entry = shop_.index.get(item.key);
    if (!entry || entry->attr.link != item.attr.link) continue;
    if (!seen.insert(item.attr.link).second) continue;
    for (const Key& name : shop_.index.keys_of_link(item.attr.link)) {
      const std::optional<Entry> other = shop_.index.get(name);
      if (other && other->local.inode != entry->local.inode)
        shop_.index.set_link(name, LinkId{}, 1);
    }
  }
}

void refresh_inode(Index& index, io::DirCache& dirs, uint64_t inode) {
  std::optional<Entry> as_is;
  std::vector<std::pair<Key, LinkId>> others;
  for (const Key& key : index.keys_of_inode(inode)) {
    const Result<int> dir = dirs.open(key.dir);
    const std::optional<Entry> entry = index.get(key);
    if (!dir || !entry) continue;
    const Result<io::Stat> stat = io::stat_at(*dir, key.name);
    // What differs is drift, and stays recorded as it was.
    if (!stat || stat->local.inode != inode) continue;
    if (stat_difference(entry->attr, *stat, DirTimes::compare).empty()) {
      index.put_local(key, stat->local);
      as_is = entry;
      as_is->local = stat->local;
    } else {
      others.emplace_back(key, entry->attr.link);
    }
  }
  // But for what was set through another name of it, in a cut that has not all of them: a merged
  // one does not speak of a name that is already gone on the primary.
  for (const auto& [key, link] : others) {
    if (as_is && link.is_set() && link == as_is->attr.link) index.put(key, *as_is);
  }
}

}  // namespace repl::apply
