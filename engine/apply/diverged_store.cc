#include "engine/apply/diverged_store.h"

#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "engine/apply/diverged_files.h"
#include "engine/apply/object_copy.h"
#include "engine/apply/staging.h"
#include "engine/base/escape.h"

namespace repl::apply::diverged {

namespace {

bool goes_on(const Manifest& manifest, const About& about) {
  return manifest.about && !manifest.finished && manifest.about->tree == about.tree &&
         manifest.about->from_peer == about.from_peer &&
         manifest.about->common_reign == about.common_reign &&
         manifest.about->common_cut == about.common_cut;
}

// What a link cannot be made for, and a copy can.
bool wants_copy(const Error& error) {
  switch (error.sys_errno) {
    case EMLINK:
    case EPERM:  // immutable, append-only, protected_hardlinks, or no links on this filesystem
    case EOPNOTSUPP:
    case EXDEV:
      return true;
    default:
      return false;
  }
}

void add_known(Attributes& attr, const Attributes* known) {
  if (attr.type == FileType::directory) attr.dir = root_dir;
  if (known == nullptr || known->type != attr.type) return;
  attr.owner = known->owner;
  attr.group = known->group;
  attr.link = known->link;
  attr.link_names = known->link_names;
  if (known->dir.is_set()) attr.dir = known->dir;
  if (known->size == attr.size && known->mtime == attr.mtime) attr.content = known->content;
}

// Begun when the power went: a manifest without a record, no object. Anything more, and it stays.
void remove_stillborn(int stores, const std::string& id) {
  const Result<Fd> dir = is_store_id(id) ? io::open_dir(stores, id) : Fd();
  if (!dir || !dir->valid()) return;
  const Status emptied = io::remove_dir(dir->get(), objects_name);
  if (!emptied && emptied.error().code != ErrorCode::not_found) return;
  static_cast<void>(io::unlink_at(dir->get(), manifest_name));
  static_cast<void>(io::remove_dir(stores, id));
}

}  // namespace

// --- opening ---

Result<std::unique_ptr<Store>> Store::begin(int area, const About& about) {
  Result<Fd> stores = open_private_dir(area, stores_name);
  if (!stores) return fail(stores.error());
  const Result<std::vector<std::string>> names = names_in(stores->get());
  if (!names) return fail(names.error());
  for (const std::string& name : *names) {
    // What cannot be removed now is removed by the next one.
    if (name.ends_with(unfinished_mark)) {
      static_cast<void>(io::remove_tree(stores->get(), name));
      continue;
    }
    const Result<Manifest> manifest = read_manifest(stores->get(), name);
    if (manifest && manifest->whole_bytes == 0) remove_stillborn(stores->get(), name);
    if (!manifest || !goes_on(*manifest, about)) continue;
    Result<std::unique_ptr<Store>> store = open_locked(std::move(*stores), name);
    if (store) (*store)->resumed_ = true;
    return store;
  }
  return make(std::move(*stores), about);
}

Result<std::unique_ptr<Store>> Store::open(int area, const std::string& id) {
  if (!is_store_id(id))
    return fail(ErrorCode::not_found, "no diverged store has the id " + escape(id));
  Result<Fd> stores = io::open_dir(area, stores_name);
  if (!stores) return fail(stores.error());
  return open_locked(std::move(*stores), id);
}

Result<std::unique_ptr<Store>> Store::open_locked(Fd stores, const std::string& id) {
  std::unique_ptr<Store> store(new Store(id));
  store->stores_ = std::move(stores);
  if (const Status locked = store->lock(); !locked) return fail(locked.error());
  if (const Status opened = store->open_parts(); !opened) return fail(opened.error());
  if (const Status cleared = store->clear_leftovers(); !cleared) return fail(cleared.error());
  return store;
}

Result<std::unique_ptr<Store>> Store::make(Fd stores, const About& about) {
  const std::string id = id_of(about.unix_seconds);
  std::unique_ptr<Store> store(new Store(id));
  Status made = io::make_dir(stores.get(), id, 0700);
  for (int n = 2; !made && made.error().sys_errno == EEXIST; ++n) {
    store->id_ = fmt::format("{}-{}", id, n);
    made = io::make_dir(stores.get(), store->id_, 0700);
  }
  if (!made) return fail(made.error());
  store->stores_ = std::move(stores);
  if (const Status locked = store->lock(); !locked) return fail(locked.error());
  if (const Status opened = store->open_parts(); !opened) return fail(opened.error());
  if (const Status written = store->append({encode_about(about)}); !written)
    return fail(written.error());
  store->manifest_.about = about;
  return store;
}

Status Store::lock() {
  Result<Fd> dir = io::open_dir(stores_.get(), id_);
  if (!dir) return fail(dir.error());
  dir_ = std::move(*dir);
  if (::flock(dir_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno("lock the diverged store " + escape(id_));
    return fail(ErrorCode::timeout,
                "the diverged store " + escape(id_) +
                    " is in use by a catch-up or another command: try again when that has ended",
                Remedy::retry);
  }
  // RACE: it may have been discarded between the open and the lock.
  const Result<io::Stat> held = io::stat_fd(dir_.get());
  const Result<io::Stat> named = io::stat_at(stores_.get(), id_);
  if (!held) return fail(held.error());
  if (!named || named->local.inode != held->local.inode)
    return fail(ErrorCode::not_found, "the diverged store " + escape(id_) + " was discarded");
  return {};
}

Status Store::open_parts() {
  Result<Fd> objects = open_private_dir(dir_.get(), objects_name);
  if (!objects) return fail(objects.error());
  objects_ = std::move(*objects);
  Result<Fd> file = io::open_write(dir_.get(), manifest_name);
  if (!file && file.error().code == ErrorCode::not_found)
    file = io::create_file(dir_.get(), manifest_name);
  if (!file) return fail(file.error());
  file_ = std::move(*file);
  const Result<std::string> bytes = read_file(file_.get());
  if (!bytes) return fail(bytes.error());
  manifest_ = decode_manifest(*bytes);
  for (const Item& item : manifest_.items) by_key_[item.key].push_back(item.number);
  return manifest_.torn_tail ? io::truncate(file_.get(), manifest_.whole_bytes) : Status();
}

// Copies that were not completed, objects of what was dropped. An object that no record names is
// not touched: it may be all there is.
Status Store::clear_leftovers() {
  const Result<std::vector<std::string>> names = names_in(objects_.get());
  if (!names) return fail(names.error());
  std::unordered_set<uint64_t> dropped(manifest_.dropped.begin(), manifest_.dropped.end());
  for (const Item& item : manifest_.items) {
    if (!item.has_object) dropped.insert(item.number);
  }
  for (const std::string& name : *names) {
    const std::optional<uint64_t> number = number_of(name);
    if (number) manifest_.next_number = std::max(manifest_.next_number, *number + 1);
    const bool leftover = name.ends_with(unfinished_mark) || (number && dropped.contains(*number));
    if (!leftover) continue;
    if (const Status gone = io::remove_tree(objects_.get(), name); !gone) return gone;
  }
  return {};
}

// --- writing ---

Status Store::append(const std::vector<std::string>& records) {
  std::string frames;
  for (const std::string& record : records)
    append_frame(frames, record, manifest_.whole_bytes + frames.size());
  if (const Status written = io::write_at(file_.get(), manifest_.whole_bytes, frames); !written) {
    // On a full disk. What cannot be cut off either is a torn tail.
    static_cast<void>(io::truncate(file_.get(), manifest_.whole_bytes));
    return written;
  }
  manifest_.whole_bytes += frames.size();
  return {};
}

Status Store::record(Item item) {
  if (const Status written = append({encode_item(item)}); !written) return written;
  const auto place = std::ranges::lower_bound(manifest_.items, item.number, {}, &Item::number);
  if (place != manifest_.items.end() && place->number == item.number) {
    *place = std::move(item);
    return {};
  }
  by_key_[item.key].push_back(item.number);
  manifest_.items.insert(place, std::move(item));
  return {};
}

Status Store::record_moved(Item item) {
  if (const Status recorded = record(std::move(item)); !recorded) return recorded;
  if (const Status synced = io::sync_fd(objects_.get()); !synced) return synced;
  return io::sync_fd(file_.get());
}

const Item* Store::earlier(const Subject& subject, uint64_t inode) const {
  const auto known = by_key_.find(subject.key);
  if (known == by_key_.end()) return nullptr;
  for (const uint64_t number : known->second) {
    const auto item = std::ranges::lower_bound(manifest_.items, number, {}, &Item::number);
    if (item == manifest_.items.end() || item->number != number) continue;
    if ((item->change == Change::deleted) == (inode == 0) && item->local.inode == inode)
      return &*item;
  }
  return nullptr;
}

Result<io::Stat> Store::keep(const Subject& subject, int dir, std::string_view name) {
  const Result<io::Stat> seen = io::stat_at(dir, name);
  if (!seen) return seen;
  if (seen->attr.type == FileType::directory) {
    const Result<Fd> fd = io::open_dir(dir, name);
    if (!fd) return fail(fd.error());
    return keep_directory(subject, fd->get());
  }
  Item item{.change = subject.change, .path = subject.path, .key = subject.key};
  const Item* before = earlier(subject, seen->local.inode);
  bool linked = false;
  if (before != nullptr && before->has_object) {
    item.number = before->number;
    const Result<io::Stat> object = io::stat_at(objects_.get(), object_name(item.number));
    linked = object && object->local.inode == seen->local.inode;
    const bool as_it_was = object && before->local.ctime == seen->local.ctime;
    if (as_it_was) return seen;
  } else {
    item.number = fresh_number();
  }
  return keep_object(std::move(item), linked, dir, name, subject.known);
}

Result<io::Stat> Store::keep_object(Item item, bool linked_before, int dir, std::string_view name,
                                    const Attributes* known) {
  const std::string object = object_name(item.number);
  bool linked = linked_before;
  if (!linked) {
    const Status link = io::link_at(dir, name, objects_.get(), object);
    linked = link.has_value();
    const bool copy_there = !link && link.error().sys_errno == EEXIST;
    if (!link && !copy_there && !wants_copy(link.error())) return fail(link.error());
  }
  // Of a link, what is in the store is looked at: RACE: the name may lead elsewhere by now.
  Result<WholeObject> whole = linked ? read_whole(objects_.get(), object) : read_whole(dir, name);
  if (!whole) return fail(whole.error());
  item.attr = std::move(whole->attr);
  add_known(*item.attr, known);
  item.local = whole->stat.local;
  item.has_object = true;
  if (!linked) {
    if (const Status copied = take_copy(item, dir, name); !copied) return fail(copied.error());
    const Result<io::Stat> copy = io::stat_at(objects_.get(), object);
    if (!copy) return copy;
    if (copy->attr.size != item.attr->size) item.attr->content = Digest{};
    item.attr->size = copy->attr.size;
  }
  if (const Status recorded = record(std::move(item)); !recorded) return fail(recorded.error());
  return whole->stat;
}

// In the place of an earlier copy, too, which it is newer than.
Status Store::take_copy(const Item& item, int dir, std::string_view name) {
  const std::string object = object_name(item.number);
  const std::string unfinished = object + unfinished_mark;
  static_cast<void>(io::unlink_at(objects_.get(), unfinished));
  const Status copied = copy_object(dir, name, *item.attr, objects_.get(), unfinished);
  if (!copied) return copied;
  return place_over(objects_.get(), unfinished, object);
}

Result<io::Stat> Store::keep_directory(const Subject& subject, int fd) {
  const Result<io::Stat> seen = io::stat_fd(fd);
  if (!seen) return seen;
  Result<std::string> xattrs = io::read_xattrs(fd);
  if (!xattrs) return fail(xattrs.error());
  Item item{.change = subject.change, .path = subject.path, .key = subject.key};
  item.attr = seen->attr;
  item.attr->xattrs = std::move(*xattrs);
  add_known(*item.attr, subject.known);
  item.local = seen->local;
  if (const Item* before = earlier(subject, seen->local.inode)) {
    item.number = before->number;
    if (before->attr == item.attr && before->change == item.change) return seen;
  } else {
    item.number = fresh_number();
  }
  if (const Status recorded = record(std::move(item)); !recorded) return fail(recorded.error());
  return seen;
}

Status Store::note_removed(const Subject& subject) {
  if (earlier(subject, 0) != nullptr) return {};
  Item item{.number = fresh_number(),
            .change = Change::deleted,
            .path = subject.path,
            .key = subject.key};
  if (subject.known != nullptr && subject.known->type != FileType::none) {
    item.attr = *subject.known;
    if (item.attr->type == FileType::directory && !item.attr->dir.is_set())
      item.attr->dir = root_dir;
  }
  return record(std::move(item));
}

Status Store::sync() {
  if (const Status synced = io::sync_filesystem(stores_.get()); !synced) return synced;
  return io::sync_fd(file_.get());
}

// --- taking out ---

// The records first: an object of what was dropped is nobody's, a record without its object would
// be damage.
Status Store::forget(const std::unordered_set<uint64_t>& numbers) {
  if (numbers.empty()) return {};
  std::vector<std::string> records;
  std::vector<uint64_t> gone;
  for (const Item& item : manifest_.items) {
    if (!numbers.contains(item.number)) continue;
    records.push_back(encode_drop(item.number));
    gone.push_back(item.number);
  }
  if (const Status written = append(records); !written) return written;
  std::erase_if(manifest_.items, [&](const Item& item) { return numbers.contains(item.number); });
  manifest_.dropped.insert(manifest_.dropped.end(), gone.begin(), gone.end());
  if (const Status synced = io::sync_fd(file_.get()); !synced) return synced;
  return remove_objects(gone);
}

Status Store::remove_objects(const std::vector<uint64_t>& numbers) {
  for (const uint64_t number : numbers) {
    const Status gone = io::unlink_at(objects_.get(), object_name(number));
    if (!gone && gone.error().code != ErrorCode::not_found) return gone;
  }
  return io::sync_fd(objects_.get());
}

Status Store::discard(const std::vector<uint64_t>& numbers) {
  const Status forgotten = forget({numbers.begin(), numbers.end()});
  return forgotten ? remove_if_empty() : forgotten;
}

// Objects whose records are damaged keep it.
Status Store::remove_if_empty() {
  if (!manifest_.items.empty()) return {};
  const Result<std::vector<std::string>> left = names_in(objects_.get());
  if (!left) return fail(left.error());
  return left->empty() ? remove_store() : Status();
}

Status Store::discard_all() { return remove_store(); }

Status Store::remove_store() {
  const std::string leaving = id_ + unfinished_mark;
  const Status renamed = io::rename_noreplace(stores_.get(), id_, stores_.get(), leaving);
  if (!renamed) return renamed;
  gone_ = true;
  if (const Status synced = io::sync_fd(stores_.get()); !synced) return synced;
  return io::remove_tree(stores_.get(), leaving);
}

}  // namespace repl::apply::diverged
