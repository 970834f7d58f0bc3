#include "engine/apply/publisher.h"

#include <algorithm>

#include "engine/apply/compare.h"
#include "engine/apply/plan.h"

namespace repl::apply {

namespace {

constexpr int place_tries_max = 4;

bool is_directory(const Item& item) { return item.attr.type == FileType::directory; }

size_t depth_of(const Index& index, DirId dir) {
  size_t depth = 0;
  for (auto place = index.place_of(dir); place && place->parent != root_dir && depth < SIZE_MAX;
       place = index.place_of(place->parent)) {
    ++depth;
  }
  return depth;
}

}  // namespace

Status Publisher::run() {
  choose_appends();
  Result<std::vector<Slot>> plan = write_plan(shop_.staging, shop_.cut);
  if (!plan) return fail(plan.error());
  std::ranges::move(*plan, std::back_inserter(shop_.work.plans));
  if (const Status done = finish_items(); !done) return done;
  if (const Status done = seal_new_dirs(); !done) return done;
  // Deepest first, by where they are now: a directory is reached through those above it.
  std::vector<std::pair<size_t, Item*>> moves;
  for (Item& item : shop_.cut.items) {
    if (item.dropped || item.source != Source::moved) continue;
    moves.emplace_back(depth_of(shop_.index, item.attr.dir), &item);
  }
  std::ranges::stable_sort(moves, std::greater<>(), [](const auto& move) { return move.first; });
  Status done;
  for (auto move = moves.begin(); done && move != moves.end(); ++move) done = detach(*move->second);
  if (done) done = each(is_directory, &Publisher::publish_directory);
  // What could not be attached goes back where it was, on an error too.
  if (const Status undone = undo_detached(); !undone) {
    left_detached_ = true;
    return undone;
  }
  if (!done) return done;
  done = each([](const Item& item) { return !is_directory(item); }, &Publisher::publish_other);
  if (!done) return done;
  for (const Remove& remove : shop_.cut.removes) {
    if (remove.disown) {
      shop_.index.forget(remove.key);
      shop_.settled(remove.key);
      continue;
    }
    changed_tree_ = true;
    if (const Status gone = remover_.remove(remove.key); !gone) return gone;
    ++published_;
  }
  if (done = finish_directories(); !done) return done;
  refresh_links();
  part_groups();
  return {};
}

// What the filesystem refuses for one key holds that key.
Status Publisher::each(const std::function<bool(const Item&)>& wanted,
                       Status (Publisher::*step)(Item&)) {
  for (Item& item : shop_.cut.items) {
    if (item.dropped || !wanted(item)) continue;
    if (!item.key.is_root() && shop_.cut.held_dirs.contains(item.key.dir)) {
      shop_.hold(item, "its directory is held");
      continue;
    }
    const Status done = (this->*step)(item);
    if (done) continue;
    if (concerns_everything(done.error())) return done;
    shop_.hold(item, done.error().message);
  }
  return {};
}

Status Publisher::detach(Item& item) {
  const std::optional<Entry> entry = shop_.index.get(item.from);
  const Result<int> parent = shop_.dirs.open(item.from.dir);
  if (!entry || !parent) {
    if (!parent && concerns_everything(parent.error())) return fail(parent.error());
    shop_.hold(item, "the directory that it was moved from is not as it was");
    return {};
  }
  const Result<io::Stat> before = io::stat_at(*parent, item.from.name);
  if (!before || before->local.inode != entry->local.inode ||
      before->attr.type != FileType::directory) {
    shop_.hold(item, "the directory was moved or replaced here");
    return {};
  }
  const Slot slot{.dir = shop_.staging.old_dir(), .name = shop_.staging.fresh_name()};
  if (const Status moved = io::rename_noreplace(*parent, item.from.name, slot.dir, slot.name);
      !moved) {
    if (concerns_everything(moved.error())) return moved;
    shop_.hold(item, moved.error().message);
    return {};
  }
  changed_tree_ = true;
  shop_.touched.insert(item.from.dir);
  const Result<io::Stat> after = io::stat_at(slot.dir, slot.name);
  if (!after) {
    const Status back = io::rename_noreplace(slot.dir, slot.name, *parent, item.from.name);
    left_detached_ = !back;
    return fail(after.error());
  }
  if (after->local.inode != before->local.inode) {
    // RACE: another directory took the name between the look and the rename. It goes back; if its
    // name is taken again, it is kept.
    const Status back = io::rename_noreplace(slot.dir, slot.name, *parent, item.from.name);
    if (!back) {
      if (const Status kept = shop_.keep(slot.dir, slot.name, item.from); !kept) return kept;
    }
    shop_.hold(item, "the directory was moved or replaced here");
    return {};
  }
  item.slot = slot;
  item.stat = *after;
  item.stat.local.handle = entry->local.handle;
  detached_[item.attr.dir] = *entry;
  shop_.index.detach_dir(item.attr.dir);
  return {};
}

Status Publisher::undo_detached() {
  // Several passes: one may hang below another.
  for (bool progress = true; progress;) {
    progress = false;
    for (Item& item : shop_.cut.items) {
      if (item.source != Source::moved || !item.slot.is_set()) continue;
      const Entry& entry = detached_.at(item.attr.dir);
      const Result<int> parent = shop_.dirs.open(item.from.dir);
      if (!parent) continue;
      if (!io::rename_noreplace(item.slot.dir, item.slot.name, *parent, item.from.name)) continue;
      Entry back = entry;
      if (const Result<io::Stat> stat = io::stat_at(*parent, item.from.name)) {
        back.local.ctime = stat->local.ctime;
      }
      shop_.index.put(item.from, back);
      item.slot = Slot{};
      progress = true;
    }
  }
  for (Item& item : shop_.cut.items) {
    if (item.source != Source::moved || !item.slot.is_set()) continue;
    if (const Status kept = shop_.keep(item.slot.dir, item.slot.name, item.from); !kept)
      return kept;
    item.slot = Slot{};
  }
  shop_.index.remove_detached(shop_.cut.begin.cut);
  return {};
}

bool Publisher::parent_entered(const Item& item) const {
  return item.source == Source::in_place && entered_.contains(item.key.dir);
}

Status Publisher::publish_directory(Item& item) {
  if (item.source == Source::metadata) return {};
  if (parent_entered(item)) {
    entered_.insert(item.attr.dir);
    shop_.staged.entered(item.attr.dir);
    record(item, item.stat);
    return {};
  }
  return place(item);
}

Status Publisher::publish_other(Item& item) {
  if (item.source == Source::metadata) return publish_metadata(item);
  if (item.source == Source::append) return publish_append(item);
  if (parent_entered(item)) {
    record(item, item.stat);
    return {};
  }
  return place(item);
}

Status Publisher::place(Item& item) {
  if (item.source == Source::in_place) {
    // Its new directory was merged into one that is there: it enters alone.
    const Result<int> from = shop_.staged.open(item.key.dir);
    if (!from) return fail(from.error());
    const Slot slot{.dir = shop_.staging.new_dir(0), .name = shop_.staging.fresh_name()};
    const Status moved = io::rename_noreplace(*from, item.key.name, slot.dir, slot.name);
    if (!moved) return moved;
    item.slot = slot;
    item.source = Source::prepared;
    if (is_directory(item)) shop_.staged.add_top(item.attr.dir, 0, slot.name);
  }
  for (int tries = 0; tries < place_tries_max && !item.dropped && !item.published; ++tries) {
    const Result<int> parent = shop_.dirs.open(item.key.dir);
    if (!parent) return fail(parent.error());
    const std::optional<Entry> entry = shop_.index.get(item.key);
    const Result<Look> seen = look(*parent, item.key.name, entry ? &*entry : nullptr,
                                   entry ? shop_.own_ctime_of(*entry) : nullptr,
                                   is_directory(item) ? nullptr : &item.attr);
    if (!seen) return fail(seen.error());
    Status done;
    switch (seen->present) {
      case Present::incoming:
        // Equal, but another file: a name of a group leads to the group's inode, any other to its
        // own.
        if (stands_for(item, seen->stat))
          adopt(item, seen->stat);
        else
          done = replace(item, *parent, Entry{.attr = item.attr}, seen->stat);
        break;
      case Present::expected:
        done = replace(item, *parent, *entry, seen->stat);
        break;
      case Present::other:
        done = drift(item, *parent, seen->stat);
        break;
      case Present::absent:
        if (entry && !shop_.may_replace(item.key)) {
          shop_.hold(item, "it was removed here since it was replicated");
          break;
        }
        done = io::rename_noreplace(item.slot.dir, item.slot.name, *parent, item.key.name);
        // RACE: somebody made the name since the look: look again.
        if (!done && done.error().sys_errno == EEXIST)
          done = Status();
        else if (done)
          done = placed(item, *parent);
        break;
    }
    if (!done) return done;
  }
  if (!item.dropped && !item.published) shop_.hold(item, "the name keeps changing here");
  return {};
}

Status Publisher::replace(Item& item, int parent, const Entry& entry, const io::Stat& before) {
  const bool was_dir = entry.attr.type == FileType::directory;
  if (was_dir) {
    bool stays = false;
    if (const Status done = displace_directory(item, entry, stays); !done || stays) return done;
  }
  const Result<int> again = shop_.dirs.open(item.key.dir);
  if (!again) return fail(again.error());
  parent = *again;
  const Slot slot = item.slot;
  if (const Status done = io::rename_exchange(slot.dir, slot.name, parent, item.key.name); !done) {
    // RACE: it was removed since the look: look again.
    return done.error().code == ErrorCode::not_found ? Status() : done;
  }
  changed_tree_ = true;
  shop_.touched.insert(item.key.dir);
  if (was_dir && item.attr.link.is_set()) {
    // The exchange is the last that was done to it: another name of it may be in that directory.
    const Result<io::Stat> in_place = io::stat_at(parent, item.key.name);
    if (in_place && in_place->local.inode == item.stat.local.inode)
      shop_.own_ctime[in_place->local.inode] = in_place->local.ctime;
  }
  const Result<io::Stat> after = io::stat_at(slot.dir, slot.name);
  Result<bool> known = after ? Result<bool>(same_object(before, *after)) : fail(after.error());
  if (known && *known && was_dir) known = remover_.is_as_known(slot.dir, slot.name, entry.attr.dir);
  if (!known || !*known) {
    // RACE: somebody replaced or edited it between the look and the exchange: as if the look had
    // seen it. What could not be looked at goes back, too.
    const Status back = io::rename_exchange(slot.dir, slot.name, parent, item.key.name);
    if (!back) {
      item.slot = Slot{};  // not ours to discard: recover() knows it
      return back;
    }
    return known ? drift(item, parent, *after) : Status(fail(known.error()));
  }
  if (is_directory(item))
    shop_.touched.insert(item.attr.dir);  // see same_object(): its time is set again
  if (!was_dir && after->nlink > 1) shop_.own_ctime[after->local.inode] = after->local.ctime;
  if (was_dir) shop_.dirs.forget(entry.attr.dir);
  displaced(item, slot, *after);
  return placed(item, parent);
}

// It goes once the cut is durable, or is the file's second copy from then on.
void Publisher::displaced(const Item& item, const Slot& slot, const io::Stat& stat) {
  std::optional<uint64_t> second;
  const bool was_base = item.difference && item.difference->base_inode == stat.local.inode;
  if (was_base && !item.attr.link.is_set()) {
    const SecondCopies::Step step{.difference = *item.difference,
                                  .inode = item.stat.local.inode,
                                  .content = item.attr.content};
    shop_.second.advance(step);
    second = shop_.second.keep(slot, stat, step);
  }
  if (second)
    shop_.work.second_copies.push_back(*second);
  else
    shop_.work.displaced.push_back(slot);
}

// A directory that also holds what is not replicated does not go.
Status Publisher::displace_directory(Item& item, const Entry& entry, bool& stays) {
  const Result<std::unordered_set<DirId>> impure = remover_.impure(entry.attr.dir);
  if (!impure) return fail(impure.error());
  if (impure->empty()) return {};
  stays = true;
  if (item.source != Source::prepared || !is_directory(item)) {
    shop_.hold(item, "a directory with files that are not replicated is in its place");
    return {};
  }
  if (const Status gone = remover_.remove_known_below(entry.attr.dir); !gone) return gone;
  const auto rest = shop_.index.summary(entry.attr.dir);
  if (rest && rest->children > 0) {
    shop_.hold(item, "a directory with files that were changed here is in its place");
    return {};
  }
  shop_.dirs.forget(entry.attr.dir);
  shop_.index.remove(item.key, shop_.cut.begin.cut);
  const Result<int> again = shop_.dirs.open(item.key.dir);
  if (!again) return fail(again.error());
  const Result<io::Stat> found = io::stat_at(*again, item.key.name);
  if (!found) return fail(found.error());
  return merge(item, *again, *found);
}

Status Publisher::drift(Item& item, int parent, const io::Stat& found) {
  const bool both_dirs = is_directory(item) && found.attr.type == FileType::directory;
  if (both_dirs && item.source == Source::prepared && !shop_.index.contains(item.key)) {
    return merge(item, parent, found);
  }
  if (!shop_.may_replace(item.key)) {
    shop_.hold(item, shop_.index.contains(item.key) ? "it was changed here since it was replicated"
                                                    : "it was made here");
    return {};
  }
  changed_tree_ = true;
  shop_.touched.insert(item.key.dir);
  return shop_.keep(parent, item.key.name, item.key);
}

// A directory of that name is there already, made by somebody else: nothing is lost by using it.
Status Publisher::merge(Item& item, int parent, const io::Stat& found) {
  const Result<Fd> fd = io::open_dir(parent, item.key.name);
  if (!fd) return fail(fd.error());
  const Result<io::Stat> now = io::stat_fd(fd->get());
  if (!now) return fail(now.error());
  if (now->local.inode != found.local.inode) return {};  // RACE: look again
  Result<std::string> handle = io::handle_of(fd->get());
  if (!handle) return fail(handle.error());
  io::Stat stat = *now;
  stat.local.handle = std::move(*handle);
  // The directory that was built keeps its slot: its contents enter one by one, the rest is
  // discarded.
  Entry entry{.attr = item.attr, .local = stat.local, .cut = shop_.cut.begin.cut};
  if (!shop_.index.put(item.key, entry))
    return fail(ErrorCode::limit, "the index refuses this directory");
  shop_.settled(item.key);
  merged_.insert(item.attr.dir);
  item.published = true;
  ++adopted_;
  changed_tree_ = true;
  return {};
}

bool Publisher::stands_for(const Item& item, const io::Stat& found) {
  return item.attr.link.is_set() ? found.local.inode == item.stat.local.inode : found.nlink == 1;
}

void Publisher::adopt(Item& item, const io::Stat& found) {
  if (!record(item, found)) return;
  --published_;
  ++adopted_;
  shop_.work.whole_filesystem = true;  // whoever wrote it may not have synced it
}

Status Publisher::placed(Item& item, int parent) {
  changed_tree_ = true;
  item.slot = Slot{};
  shop_.touched.insert(item.key.dir);
  Result<io::Stat> stat = io::stat_at(parent, item.key.name);
  if (!stat && stat.error().code != ErrorCode::not_found) return fail(stat.error());
  const bool linked = item.attr.link.is_set();
  const bool ours = stat && (linked ? stat->local.inode == item.stat.local.inode
                                    : same_object(item.stat, *stat) || is_directory(item));
  io::Stat local = ours ? *stat : item.stat;
  // RACE: somebody changed it in the microseconds since: recorded as what we placed, with a ctime
  // that never matches, so that the next look finds the drift.
  if (!ours) local.local.ctime = Timestamp{};
  local.local.handle = item.stat.local.handle;
  if (item.source == Source::prepared && is_directory(item)) {
    entered_.insert(item.attr.dir);
    shop_.staged.entered(item.attr.dir);
  }
  if (item.fd.valid()) {
    shop_.work.add(std::move(item.fd));
  } else if (item.source != Source::moved) {
    shop_.work.whole_filesystem = true;
  }
  if (linked) shop_.own_ctime[local.local.inode] = local.local.ctime;
  record(item, local);
  return {};
}

// False: the key is held.
bool Publisher::record(Item& item, const io::Stat& stat) {
  Entry entry{.attr = item.attr, .local = stat.local, .cut = shop_.cut.begin.cut};
  // A moved directory gets its new attributes at the end; until then the index says what it has.
  if (item.source == Source::moved) entry.attr = detached_.at(item.attr.dir).attr;
  item.published = true;
  changed_tree_ = true;
  if (!shop_.index.put(item.key, entry)) {
    shop_.hold(item, "the index refuses this record");
    return false;
  }
  if (item.blocks.size() > 1) shop_.index.put_block_table(item.attr.content, item.blocks);
  if (item.fd.valid()) shop_.work.add(std::move(item.fd));
  shop_.settled(item.key);
  ++published_;
  return true;
}

}  // namespace repl::apply
