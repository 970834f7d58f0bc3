// The part of the diverged store that ends a catch-up.
#include <algorithm>
#include <optional>

#include "engine/apply/diverged_files.h"
#include "engine/apply/diverged_store.h"
#include "engine/apply/staging.h"

namespace repl::apply::diverged {

namespace {

Status take_link(int objects, const std::string& from, const std::string& to) {
  const std::string unfinished = to + unfinished_mark;
  const Status linked = io::link_at(objects, from, objects, unfinished);
  return linked ? place_over(objects, unfinished, to) : linked;
}

}  // namespace

Result<Settled> Store::settle(const Shows& shows) {
  Settled settled;
  std::unordered_set<uint64_t> same;
  std::vector<uint64_t> without_object;
  const std::vector<Item> items = manifest_.items;
  for (const Item& item : items) {
    if (item.change == Change::displaced) continue;
    const Result<Shown> shown = shows(item);
    if (!shown) return fail(shown.error());
    if (*shown == Shown::same) same.insert(item.number);
    if (*shown != Shown::attributes || !item.has_object) continue;
    Item record_only = item;
    record_only.has_object = false;
    if (const Status recorded = record(std::move(record_only)); !recorded)
      return fail(recorded.error());
    without_object.push_back(item.number);
  }
  if (const Status synced = io::sync_fd(file_.get()); !synced) return fail(synced.error());
  if (const Status gone = remove_objects(without_object); !gone) return fail(gone.error());
  if (const Status forgotten = forget(same); !forgotten) return fail(forgotten.error());
  settled.dropped = same.size();
  settled.items = manifest_.items.size();
  if (const Status dropped = drop_unnamed_links(); !dropped) return fail(dropped.error());
  if (const Status removed = remove_if_empty(); !removed) return fail(removed.error());
  if (gone_) return settled;
  if (const Status parted = part_from_tree(settled); !parted) return fail(parted.error());
  if (const Status written = append({encode_finish()}); !written) return fail(written.error());
  manifest_.finished = true;
  if (const Status synced = sync(); !synced) return fail(synced.error());
  return settled;
}

// Objects that no record names, from a crash between the two: before sync nothing is replaced, so
// that the tree has them. One that has no other name stays.
Status Store::drop_unnamed_links() {
  const Result<std::vector<std::string>> names = names_in(objects_.get());
  if (!names) return fail(names.error());
  for (const std::string& name : *names) {
    const std::optional<uint64_t> number = number_of(name);
    const bool named =
        number && std::ranges::binary_search(manifest_.items, *number, {}, &Item::number);
    if (named) continue;
    const Result<io::Stat> stat = io::stat_at(objects_.get(), name);
    if (!stat) return fail(stat.error());
    if (stat->nlink < 2 || stat->attr.type == FileType::directory) continue;
    if (const Status gone = io::unlink_at(objects_.get(), name); !gone) return gone;
  }
  return {};
}

// A file of which the tree shows another name is copied: names of one file to one copy.
Status Store::part_from_tree(Settled& settled) {
  struct Links {
    std::vector<uint64_t> items;
    uint32_t nlink = 0;
  };
  std::unordered_map<uint64_t, Links> files;
  for (const Item& item : manifest_.items) {
    if (!item.has_object || item.attr->type != FileType::regular) continue;
    const Result<io::Stat> stat = io::stat_at(objects_.get(), object_name(item.number));
    if (!stat) return fail(stat.error());
    Links& links = files[stat->local.inode];
    links.items.push_back(item.number);
    links.nlink = stat->nlink;
  }
  for (const auto& [inode, links] : files) {
    if (links.nlink <= links.items.size()) continue;
    const std::string first = object_name(links.items.front());
    for (const uint64_t number : links.items) {
      const auto item = std::ranges::lower_bound(manifest_.items, number, {}, &Item::number);
      const Status parted = number == links.items.front()
                                ? take_copy(*item, objects_.get(), first)
                                : take_link(objects_.get(), first, object_name(number));
      if (parted) continue;
      if (parted.error().code != ErrorCode::no_space) return parted;
      ++settled.shared;
      break;
    }
  }
  return {};
}

}  // namespace repl::apply::diverged
