// The part of Publisher that prepares what could not be prepared when its record came: contents in
// pieces, copies, links, and the attributes of new directories. All of it is still invisible.
#include <tuple>
#include <utility>

#include "engine/apply/applier.h"
#include "engine/apply/compare.h"
#include "engine/apply/publisher.h"

namespace repl::apply {

Status Publisher::finish_items() {
  return each(
      [](const Item& item) {
        return item.source == Source::stage || item.source == Source::append ||
               item.source == Source::copy || item.source == Source::link;
      },
      &Publisher::finish_item);
}

Status Publisher::finish_item(Item& item) {
  switch (item.source) {
    case Source::stage:
    case Source::append:
      return finish_stage(item);
    case Source::copy:
      return finish_copy(item);
    default:
      return finish_link(item);
  }
}

// Under its final name if its directory is new.
Status Publisher::settle(Item& item, const Slot& slot) {
  item.slot = slot;
  item.source = Source::prepared;
  if (!shop_.staged.contains(item.key.dir)) return {};
  const Result<int> dir = shop_.staged.open(item.key.dir);
  if (!dir) return fail(dir.error());
  if (const Status moved = io::rename_noreplace(slot.dir, slot.name, *dir, item.key.name); !moved)
    return moved;
  item.slot = Slot{};
  item.source = Source::in_place;
  return {};
}

Status Publisher::dress_item(Item& item, Fd fd) {
  const Result<io::Stat> stat = dress(fd.get(), item.attr, false);
  if (!stat) {
    if (item.source != Source::in_place) return fail(stat.error());
    // Inside a new directory it would enter with it.
    const Result<int> dir = shop_.staged.open(item.key.dir);
    if (!dir) return fail(dir.error());
    if (const Status gone = io::unlink_at(*dir, item.key.name); !gone) return gone;
    return fail(stat.error());
  }
  item.stat = *stat;
  item.fd = std::move(fd);
  if (shop_.cut.items.size() + shop_.work.fds.size() > limits::held_fds_max) {
    item.fd.reset();
    shop_.work.whole_filesystem = true;
  }
  return {};
}

Status Publisher::finish_stage(Item& item) {
  const BuiltContent* built = contents_.find(item.stage);
  if (built == nullptr || built->state == StageState::open) {
    return fail(ErrorCode::internal, "the content did not end before its cut");
  }
  if (built->state == StageState::aborted) {
    item.dropped = true;
    contents_.forget(item.stage);
    return {};
  }
  if (built->state == StageState::refused) {
    shop_.resend(item, built->reason);
    contents_.forget(item.stage);
    return {};
  }
  item.attr.content = built->digest;
  item.attr.size = built->size;
  item.blocks = built->blocks;
  item.difference = built->difference;
  const bool is_tail = built->is_tail;
  const std::string staged = built->file;
  const bool appends = item.source == Source::append;
  const Slot slot{.dir = shop_.staging.new_dir(item.stage.low), .name = shop_.staging.fresh_name()};
  const int stage_dir = shop_.staging.stage_dir(item.stage);
  // Of many tails none is held open until its turn comes.
  Result<Fd> fd = appends ? Fd() : io::open_read(stage_dir, staged);
  if (!fd) return fail(fd.error());
  const Status moved = io::rename_noreplace(stage_dir, staged, slot.dir, slot.name);
  if (!moved) return moved;
  contents_.forget(item.stage);
  if (appends) {
    item.slot = slot;
    return {};
  }
  if (is_tail) return finish_tail(item, slot, std::move(*fd));
  if (const Status settled = settle(item, slot); !settled) return settled;
  return dress_item(item, std::move(*fd));
}

// The tail's base is not what it can be appended to: another key, or a file with other names.
Status Publisher::finish_tail(Item& item, const Slot& tail, Fd fd) {
  const Difference difference = *std::exchange(item.difference, std::nullopt);
  shop_.work.displaced.push_back(tail);
  const std::optional<Entry> entry = shop_.index.get(difference.key);
  const Result<int> parent = shop_.dirs.open(difference.key.dir);
  Result<Fd> base = entry && parent ? io::open_read(*parent, difference.key.name)
                                    : fail(ErrorCode::changed, "it is not here");
  const Result<io::Stat> stat = base ? io::stat_fd(base->get()) : fail(base.error());
  if (!stat || entry->attr.content != difference.base || stat->local.inode != entry->local.inode ||
      stat->local.ctime != entry->local.ctime) {
    shop_.resend(item, "the base of the difference was changed here");
    return {};
  }
  const Slot slot{.dir = shop_.staging.new_dir(0), .name = shop_.staging.fresh_name()};
  Result<Fd> file = io::create_file(slot.dir, slot.name);
  if (!file) return fail(file.error());
  item.slot = slot;
  for (const auto& [from, offset, length] :
       {std::tuple(base->get(), uint64_t{0}, difference.base_size),
        std::tuple(fd.get(), difference.base_size, item.attr.size - difference.base_size)}) {
    const auto copied = io::copy_range(from, 0, file->get(), offset, length);
    if (!copied) return fail(copied.error());
  }
  if (const Status settled = settle(item, slot); !settled) return settled;
  return dress_item(item, std::move(*file));
}

// Will the key be gone after this cut, by its own record or with a directory above it?
bool Publisher::leaves(const Key& key) const {
  Key at = key;
  for (size_t depth = 0; depth <= limits::directory_depth_max; ++depth) {
    if (shop_.cut.removed.contains(at)) return true;
    if (at.dir == root_dir || shop_.cut.dirs.contains(at.dir)) return false;
    const auto place = shop_.index.place_of(at.dir);
    if (!place) return false;
    at = Key{.dir = place->parent, .name = place->name};
    if (shop_.cut.puts.contains(at)) return true;  // another object takes the directory's place
  }
  return false;
}

Status Publisher::finish_copy(Item& item) {
  const std::optional<Entry> base = shop_.index.get(item.from);
  const Result<int> parent = shop_.dirs.open(item.from.dir);
  const Result<Look> seen =
      base && parent ? look(*parent, item.from.name, &*base, shop_.own_ctime_of(*base), nullptr)
                     : Result<Look>(Look{});
  if (!seen) return fail(seen.error());
  if (seen->present != Present::expected || base->attr.content != item.attr.content) {
    shop_.resend(item, "what it was to be copied from is not here");
    return {};
  }
  Result<Fd> source = io::open_read(*parent, item.from.name);
  if (!source) return fail(source.error());
  const Slot slot{.dir = shop_.staging.new_dir(0), .name = shop_.staging.fresh_name()};
  const bool same_group = base->attr.link == item.attr.link;
  if (same_group && leaves(item.from) && taken_.insert(item.from).second) {
    return move_source(item, *parent, slot, seen->stat, std::move(*source));
  }
  Result<Fd> copy = io::create_file(slot.dir, slot.name);
  if (!copy) return fail(copy.error());
  item.slot = slot;
  if (item.attr.size > 0) {
    const Result<io::CopyHow> copied =
        io::copy_range(source->get(), 0, copy->get(), 0, item.attr.size);
    if (!copied) return fail(copied.error());
  }
  Result<FileDigest> digest = digest_file(copy->get());
  if (!digest) return fail(digest.error());
  if (digest->digest != item.attr.content) {
    shop_.resend(item, "what it was to be copied from changed here");
    return {};
  }
  item.blocks = std::move(digest->blocks);
  if (const Status settled = settle(item, slot); !settled) return settled;
  return dress_item(item, std::move(*copy));
}

// Its source goes in this cut: it is moved, not copied. Neither name shows it until it is placed; a
// name that it replaces is never without an object.
Status Publisher::move_source(Item& item, int parent, const Slot& slot, const io::Stat& before,
                              Fd fd) {
  const Status moved = io::rename_noreplace(parent, item.from.name, slot.dir, slot.name);
  if (!moved) return moved;
  changed_tree_ = true;
  shop_.touched.insert(item.from.dir);
  const Result<io::Stat> after = io::stat_at(slot.dir, slot.name);
  const Result<io::Stat> held = io::stat_fd(fd.get());
  if (!after || !held) {
    const Status back = io::rename_noreplace(slot.dir, slot.name, parent, item.from.name);
    left_detached_ = !back;
    return fail(after ? held.error() : after.error());
  }
  if (!same_object(before, *after) || held->local.inode != after->local.inode) {
    // RACE: somebody edited or replaced it between the look and the rename: back, and the primary
    // sends all.
    const Status back = io::rename_noreplace(slot.dir, slot.name, parent, item.from.name);
    if (!back) {
      if (const Status kept = shop_.keep(slot.dir, slot.name, item.from); !kept) return kept;
    }
    shop_.resend(item, "what it was to be moved from changed here");
    return {};
  }
  if (after->nlink > 1) shop_.own_ctime[after->local.inode] = after->local.ctime;
  if (const Status settled = settle(item, slot); !settled) return settled;
  return dress_item(item, std::move(fd));
}

Status Publisher::finish_link(Item& item) {
  const Item& first = shop_.cut.items[shop_.cut.puts.at(item.from)];
  if (first.dropped) {
    if (shop_.holds.all().contains(first.key))
      shop_.hold(item, "another name of the file is held");
    else
      shop_.resend(item, "another name of the file is sent again");
    return {};
  }
  if (item.attr.type == FileType::regular) {
    item.attr.content = first.attr.content;
    item.attr.size = first.attr.size;
  }
  const Slot slot{.dir = shop_.staging.new_dir(0), .name = shop_.staging.fresh_name()};
  uint64_t inode = first.stat.local.inode;
  int from_dir = first.slot.dir;
  std::string from_name = first.slot.name;
  if (first.source == Source::metadata) {
    const std::optional<Entry> entry = shop_.index.get(first.key);
    const std::optional<Entry> mine = shop_.index.get(item.key);
    if (!entry) return fail(ErrorCode::changed, "another name of the file is not known");
    inode = entry->local.inode;
    if (mine && mine->local.inode == inode) {
      item.source = Source::metadata;
      return {};
    }
  }
  if (first.source == Source::metadata || first.source == Source::in_place) {
    const Result<int> dir = first.source == Source::in_place ? shop_.staged.open(first.key.dir)
                                                             : shop_.dirs.open(first.key.dir);
    if (!dir) return fail(dir.error());
    from_dir = *dir;
    from_name = first.key.name;
  }
  if (const Status linked = io::link_at(from_dir, from_name, slot.dir, slot.name); !linked)
    return linked;
  item.slot = slot;
  const Result<io::Stat> stat = io::stat_at(slot.dir, slot.name);
  if (!stat) return fail(stat.error());
  // RACE: the name that is linked from lies in the tree: another object may have taken it.
  if (stat->local.inode != inode)
    return fail(ErrorCode::changed, "another name of the file was replaced here");
  shop_.own_ctime[inode] = stat->local.ctime;
  item.stat = *stat;
  return settle(item, slot);
}

// Children before their parents: what is made in a directory changes its time.
Status Publisher::seal_new_dirs() {
  std::vector<Item>& items = shop_.cut.items;
  for (auto item = items.rbegin(); item != items.rend(); ++item) {
    const bool is_new = item->source == Source::prepared || item->source == Source::in_place;
    if (item->dropped || item->attr.type != FileType::directory || !is_new) continue;
    const Status sealed = seal(*item);
    if (sealed) continue;
    if (concerns_everything(sealed.error())) return sealed;
    shop_.hold(*item, sealed.error().message);
    if (item->source != Source::in_place) continue;
    const Result<int> parent = shop_.staged.open(item->key.dir);
    if (!parent) return fail(parent.error());
    if (const Status gone = io::remove_tree(*parent, item->key.name); !gone) return gone;
  }
  return {};
}

Status Publisher::seal(Item& item) {
  const Result<int> fd = shop_.staged.open(item.attr.dir);
  if (!fd) return fail(fd.error());
  const Result<io::Stat> stat = dress(*fd, item.attr, true);
  if (!stat) return fail(stat.error());
  item.stat = *stat;
  Result<std::string> handle = io::handle_of(*fd);
  if (!handle) return fail(handle.error());
  item.stat.local.handle = std::move(*handle);
  return hold_for_sync(*fd);
}

}  // namespace repl::apply
