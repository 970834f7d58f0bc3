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
  Result<std::optional<Known>> known = hold_known(item, io::open_write);
  if (!known) {
    if (concerns_everything(known.error())) return fail(known.error());
    // It is being executed, or sealed: a whole one may take its place.
    shop_.resend(item, known.error().message);
    return {};
  }
  if (!*known) return {};
  const io::Stat& stat = (*known)->stat;
  if (stat.nlink != 1) {
    shop_.resend(item, "it has another name here, outside of what is replicated");
    return {};
  }
  if ((*known)->entry.attr.content != item.difference->base ||
      stat.attr.size != item.difference->base_size) {
    shop_.resend(item, "what it was to be appended to is another content here");
    return {};
  }
  return append(item, std::move(**known));
}

Status Publisher::append(Item& item, Known known) {
  const uint64_t base_size = item.difference->base_size;
  const Result<Fd> tail = io::open_read(item.slot.dir, item.slot.name);
  if (!tail) return fail(tail.error());
  changed_tree_ = true;
  const int file = known.fd.get();
  const auto copied = io::copy_range(tail->get(), 0, file, base_size, item.attr.size - base_size);
  const Result<io::Stat> written = copied ? io::stat_fd(file) : fail(copied.error());
  if (written && written->attr.size != item.attr.size) {
    // RACE: somebody else wrote to it meanwhile. What they wrote is not ours to cut off.
    shop_.hold(item, "it was changed here while it was appended to");
    return {};
  }
  const Result<io::Stat> after =
      written ? change(file, known.stat, item.attr, nullptr) : fail(written.error());
  if (!after) {
    if (const Status undone = take_back(file, item.key, known.entry); !undone) return undone;
    return fail(after.error());
  }
  item.fd = std::move(known.fd);
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
