// The part of Publisher that appends to files in place: where there are no reflinks, a log that
// grows is not copied for it.
//
// Undone by recovery (recovery.cc): the plan names the key and the size that it is to have, the
// index has the size of the last durable cut.
#include "engine/apply/compare.h"
#include "engine/apply/publisher.h"

namespace repl::apply {

// Before the plan is written. What else is to become of a tail: finish_tail.
void Publisher::choose_appends() {
  for (Item& item : shop_.cut.items) {
    if (item.dropped || item.source != Source::stage || item.attr.link.is_set()) continue;
    const BuiltContent* built = contents_.find(item.stage);
    if (built == nullptr || built->state != StageState::ended || !built->is_tail ||
        !built->difference) {
      continue;
    }
    const std::optional<Entry> entry = shop_.index.get(item.key);
    if (!entry || entry->attr.type != FileType::regular || entry->attr.link.is_set() ||
        entry->local.inode != built->difference->base_inode ||
        entry->attr.content != built->difference->base ||
        shop_.index.keys_of_inode(entry->local.inode).size() != 1) {
      continue;
    }
    item.source = Source::append;
    item.attr.size = built->size;
  }
}

Status Publisher::publish_append(Item& item) {
  const Result<int> parent = shop_.dirs.open(item.key.dir);
  if (!parent) return fail(parent.error());
  const std::optional<Entry> entry = shop_.index.get(item.key);
  const Result<Look> seen =
      look(*parent, item.key.name, entry ? &*entry : nullptr, nullptr, &item.attr);
  if (!seen) return fail(seen.error());
  if (seen->present == Present::incoming) {
    item.fd.reset();
    if (seen->stat.nlink == 1)
      adopt(item, seen->stat);
    else
      shop_.resend(item, "an equal file that has another name is here");
    return {};
  }
  const bool there =
      entry && seen->present == Present::expected && entry->attr.content == item.difference->base;
  if (!there) {
    if (!shop_.may_replace(item.key)) {
      shop_.hold(item, seen->present == Present::absent
                           ? "it was removed here since it was replicated"
                           : "it was changed here since it was replicated");
      return {};
    }
    shop_.resend(item, "it was changed here");
    return {};
  }
  if (seen->stat.nlink != 1) {
    shop_.resend(item, "it has another name here, outside of what is replicated");
    return {};
  }
  Result<Fd> file = io::open_write(*parent, item.key.name);
  if (!file) {
    if (concerns_everything(file.error())) return fail(file.error());
    // It is being executed, or sealed: a whole one may take its place.
    shop_.resend(item, file.error().message);
    return {};
  }
  const Result<io::Stat> held = io::stat_fd(file->get());
  if (!held) return fail(held.error());
  // RACE: the name may lead elsewhere since the look; the descriptor is what is changed.
  if (held->local.inode != seen->stat.local.inode || held->local.ctime != seen->stat.local.ctime ||
      held->attr.size != item.difference->base_size) {
    shop_.hold(item, "it was changed here since it was replicated");
    return {};
  }
  return append(item, *entry, std::move(*file), *held);
}

Status Publisher::append(Item& item, const Entry& entry, Fd file, const io::Stat& before) {
  const uint64_t base_size = item.difference->base_size;
  changed_tree_ = true;
  const auto copied =
      io::copy_range(item.fd.get(), 0, file.get(), base_size, item.attr.size - base_size);
  const Result<io::Stat> written = copied ? io::stat_fd(file.get()) : fail(copied.error());
  if (written && written->attr.size != item.attr.size) {
    // RACE: somebody else wrote to it meanwhile. What they wrote is not ours to cut off.
    shop_.hold(item, "it was changed here while it was appended to");
    return {};
  }
  const Result<io::Stat> after =
      written ? change(file.get(), before, item.attr, nullptr) : fail(written.error());
  if (!after) {
    if (const Status undone = take_back(file.get(), item.key, entry); !undone) return undone;
    return fail(after.error());
  }
  item.fd = std::move(file);
  shop_.second.advance(
      {.difference = *item.difference, .inode = after->local.inode, .content = item.attr.content});
  record(item, *after);
  return {};
}

Status Publisher::take_back(int fd, const Key& key, const Entry& entry) {
  if (const Status cut = io::truncate(fd, entry.attr.size); !cut) return cut;
  const Status set = io::set_attributes(fd, entry.attr, io::AttributeSet{}, nullptr);
  if (!set) return set;
  const Result<io::Stat> now = io::stat_fd(fd);
  if (!now) return fail(now.error());
  shop_.index.put_local(key, now->local);
  return {};
}

}  // namespace repl::apply
