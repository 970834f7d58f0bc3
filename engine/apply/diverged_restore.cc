#include "engine/apply/diverged_restore.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "engine/apply/diverged_files.h"
#include "engine/apply/staging.h"
#include "engine/base/escape.h"

namespace repl::apply::diverged {

namespace {

constexpr std::string_view restored_prefix = ".repl-restored-";
constexpr uint16_t private_mode = 0700;
constexpr uint16_t usual_mode = 0755;

bool is_directory(const Comparison& now) { return now.stat.attr.type == FileType::directory; }

bool has(const Comparison& now, std::string_view what) {
  return std::ranges::find(now.what, what) != now.what.end();
}

Result<bool> same_mount(int a, int b) {
  const Result<io::Stat> one = io::stat_fd(a);
  if (!one) return fail(one.error());
  const Result<io::Stat> other = io::stat_fd(b);
  if (!other) return fail(other.error());
  return one->device == other->device && one->mount == other->mount;
}

Status set_on(int dir, std::string_view name, const Attributes& attr) {
  const Result<Fd> fd =
      attr.type == FileType::regular ? io::open_read(dir, name) : io::open_path(dir, name);
  if (!fd) return fail(fd.error());
  return io::set_attributes(fd->get(), attr, io::AttributeSet{}, nullptr);
}

}  // namespace

void sort_for_restore(std::vector<Item>& items) {
  std::ranges::sort(items, [](const Item& a, const Item& b) {
    const bool a_deleted = a.change == Change::deleted;
    const bool b_deleted = b.change == Change::deleted;
    if (a_deleted != b_deleted) return b_deleted;
    if (a.path != b.path) return a_deleted ? a.path > b.path : a.path < b.path;
    return a.number < b.number;
  });
}

Restorer::Restorer(Store& store, Fd root, bool same_filesystem, OnPresent on_present)
    : store_(store),
      root_(std::move(root)),
      same_filesystem_(same_filesystem),
      on_present_(on_present) {
  std::map<FileIdentity, size_t> names;
  for (const Item& item : store_.manifest().items) {
    if (item.attr && item.attr->type == FileType::directory && item.change != Change::deleted)
      known_dirs_[item.path] = *item.attr;
    if (item.has_object) ++names[{item.local.inode, item.local.birth}];
  }
  for (const auto& [identity, count] : names) {
    if (count > 1) linked_[identity];
  }
}

Result<Restorer> Restorer::make(Store& store, int root, OnPresent on_present) {
  const Result<bool> same = same_mount(root, store.objects());
  if (!same) return fail(same.error());
  if (!*same && on_present == OnPresent::replace) {
    return fail(ErrorCode::invalid,
                "what is replaced goes to the diverged store, which is on another filesystem: "
                "restore to a directory that has none of these names");
  }
  Fd copy(::fcntl(root, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return fail_errno("duplicate a descriptor");
  return Restorer(store, std::move(copy), *same, on_present);
}

// --- the way there ---

Result<Fd> Restorer::open_parent(std::string_view path) {
  Fd dir(::fcntl(root_.get(), F_DUPFD_CLOEXEC, 0));
  if (!dir.valid()) return fail_errno("duplicate a descriptor");
  for (size_t at = 0, slash = 0; (slash = path.find('/', at)) != std::string_view::npos;
       at = slash + 1) {
    Result<Fd> next =
        open_or_make(dir.get(), path.substr(at, slash - at), std::string(path.substr(0, slash)));
    if (!next) return next;
    dir = std::move(*next);
  }
  return dir;
}

Result<Fd> Restorer::open_or_make(int parent, std::string_view name, const std::string& path) {
  Result<Fd> there = io::open_dir(parent, name);
  if (there || there.error().sys_errno != ENOENT) return there;
  const auto known = known_dirs_.find(path);
  const uint16_t mode = known == known_dirs_.end() ? usual_mode : private_mode;
  if (const Status made = io::make_dir(parent, name, mode); !made) return fail(made.error());
  if (known != known_dirs_.end()) directories_[path] = known->second;
  return io::open_dir(parent, name);
}

Result<Outcome> Restorer::restore(const Item& item) {
  if (item.path.empty()) return restore_root(item);
  const Result<Fd> parent = open_parent(item.path);
  if (!parent) return fail(parent.error());
  const size_t slash = item.path.rfind('/');
  const std::string_view path = item.path;
  return restore_at(item, {.dir = parent->get(),
                           .name = slash == std::string::npos ? path : path.substr(slash + 1),
                           .path = item.path});
}

Result<Outcome> Restorer::restore_to(const Item& item, int dir, std::string_view name) {
  return restore_at(item, {.dir = dir, .name = name, .path = {}});
}

Result<Outcome> Restorer::restore_at(const Item& item, const Place& place) {
  if (item.change == Change::deleted) return remove_again(item, place);
  if (!item.attr) return Outcome::nothing_to_make;
  const Result<Comparison> now = compare(item, store_.objects(), place.dir, place.name);
  if (!now) return fail(now.error());
  const bool made_on_the_way = directories_.contains(place.path) && !place.path.empty();
  if (now->now == Now::same || made_on_the_way) {
    remember_name(item, place);
    return made_on_the_way ? Outcome::restored : Outcome::already;
  }
  if (item.attr->type == FileType::directory) return restore_directory(item, place, *now);
  return item.has_object ? restore_object(item, place, *now)
                         : restore_attributes(item, place, *now);
}

// --- what has a content ---

Restorer::Temporary Restorer::temporary(const Place& place) {
  if (same_filesystem_) {
    const uint64_t number = store_.fresh_number();
    return {number, store_.objects(), object_name(number) + unfinished_mark};
  }
  for (;;) {
    const uint64_t number = store_.fresh_number();
    std::string name = std::string(restored_prefix) + object_name(number);
    const Result<io::Stat> there = io::stat_at(place.dir, name);
    if (!there) return {number, place.dir, std::move(name)};
  }
}

Result<Outcome> Restorer::restore_object(const Item& item, const Place& place,
                                         const Comparison& now) {
  if (now.now != Now::absent && (on_present_ == OnPresent::refuse || is_directory(now)))
    return Outcome::in_the_way;
  const Temporary made = temporary(place);
  if (const Status done = make_object(item, made); !done) return fail(done.error());
  const Result<Outcome> outcome = put(item, made, place, now);
  if (outcome && *outcome == Outcome::restored) remember_name(item, place);
  return outcome;
}

Status Restorer::make_object(const Item& item, const Temporary& at) {
  if (link_sibling(item, at)) return {};
  return copy_object(store_.objects(), object_name(item.number), *item.attr, at.dir, at.name);
}

// To the name that another of its names was restored to.
bool Restorer::link_sibling(const Item& item, const Temporary& at) {
  const auto linked = linked_.find({item.local.inode, item.local.birth});
  if (linked == linked_.end() || linked->second.path.empty()) return false;
  const std::string& path = linked->second.path;
  const Result<Fd> parent = open_parent(path);
  if (!parent) return false;
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (!io::link_at(parent->get(), name, at.dir, at.name)) return false;
  const Result<io::Stat> made = io::stat_at(at.dir, at.name);
  if (made && made->local.inode == linked->second.inode) return true;
  static_cast<void>(io::unlink_at(at.dir, at.name));
  return false;
}

void Restorer::remember_name(const Item& item, const Place& place) {
  const auto linked = linked_.find({item.local.inode, item.local.birth});
  if (linked == linked_.end() || !linked->second.path.empty() || !item.has_object) return;
  const Result<io::Stat> there = io::stat_at(place.dir, place.name);
  if (there) linked->second = {.path = place.path, .inode = there->local.inode};
}

Result<Outcome> Restorer::put(const Item& item, const Temporary& made, const Place& place,
                              const Comparison& now) {
  if (now.now != Now::absent) return exchange(item, made, place);
  const Status placed = io::rename_noreplace(made.dir, made.name, place.dir, place.name);
  if (placed) return Outcome::restored;
  static_cast<void>(io::remove_tree(made.dir, made.name));
  // RACE: something was made there since the look.
  if (placed.error().sys_errno == EEXIST) return Outcome::in_the_way;
  return fail(placed.error());
}

// Under its final name before the exchange: what comes out must not be taken for a leftover.
Result<Outcome> Restorer::exchange(const Item& item, const Temporary& made, const Place& place) {
  const std::string object = object_name(made.number);
  const Status named = io::rename_noreplace(made.dir, made.name, made.dir, object);
  if (!named) return fail(named.error());
  const auto take_back = [&] { return io::remove_tree(made.dir, object); };
  const Status exchanged = io::rename_exchange(made.dir, object, place.dir, place.name);
  if (!exchanged) {
    static_cast<void>(take_back());
    return fail(exchanged.error());
  }
  const Result<WholeObject> was = read_whole(made.dir, object);
  if (!was) return fail(was.error());
  // RACE: it has become a directory since the look.
  if (was->attr.type == FileType::directory) {
    const Status back = io::rename_exchange(made.dir, object, place.dir, place.name);
    if (!back) return fail(back.error());
    static_cast<void>(take_back());
    return Outcome::in_the_way;
  }
  const Status recorded = record_displaced(item, made.number, *was, true);
  if (!recorded) return fail(recorded.error());
  return Outcome::restored;
}

Status Restorer::record_displaced(const Item& by, uint64_t number, const WholeObject& was,
                                  bool has_object) {
  Item item{.number = number, .change = Change::displaced, .path = by.path, .key = by.key};
  item.attr = was.attr;
  if (was.attr.type == FileType::directory) item.attr->dir = root_dir;
  item.local = was.stat.local;
  item.has_object = has_object;
  return store_.record_moved(std::move(item));
}

// --- what has none ---

Result<Outcome> Restorer::remove_again(const Item& item, const Place& place) {
  const Result<WholeObject> now = read_whole(place.dir, place.name);
  if (!now && now.error().code == ErrorCode::not_found) return Outcome::already;
  if (!now) return fail(now.error());
  if (on_present_ == OnPresent::refuse) return Outcome::in_the_way;
  const uint64_t number = store_.fresh_number();
  const bool is_dir = now->attr.type == FileType::directory;
  const Status gone =
      is_dir ? io::remove_dir(place.dir, place.name)
             : io::rename_noreplace(place.dir, place.name, store_.objects(), object_name(number));
  if (!gone && gone.error().sys_errno == ENOTEMPTY) return Outcome::in_the_way;
  if (!gone) return fail(gone.error());
  const Status recorded = record_displaced(item, number, *now, !is_dir);
  if (!recorded) return fail(recorded.error());
  return Outcome::removed;
}

Result<Outcome> Restorer::restore_attributes(const Item& item, const Place& place,
                                             const Comparison& now) {
  if (now.now == Now::absent) return Outcome::nothing_to_make;
  const bool other_content =
      has(now, "type") || has(now, "content") || has(now, "target") || has(now, "device number");
  if (on_present_ == OnPresent::refuse || other_content) return Outcome::in_the_way;
  const Result<WholeObject> was = read_whole(place.dir, place.name);
  if (!was) return fail(was.error());
  const Status recorded = record_displaced(item, store_.fresh_number(), *was, false);
  if (!recorded) return fail(recorded.error());
  const Status set = set_on(place.dir, place.name, *item.attr);
  if (!set) return fail(set.error());
  return Outcome::restored;
}

Result<Outcome> Restorer::restore_directory(const Item& item, const Place& place,
                                            const Comparison& now) {
  Result<Outcome> outcome = Outcome::restored;
  if (now.now == Now::absent) {
    const Status made = io::make_dir(place.dir, place.name, private_mode);
    if (!made) return fail(made.error());
  } else if (on_present_ == OnPresent::refuse) {
    return Outcome::in_the_way;
  } else if (is_directory(now)) {
    outcome = restore_attributes(item, place, now);
  } else {
    const Temporary made = temporary(place);
    if (const Status done = io::make_dir(made.dir, made.name, private_mode); !done)
      return fail(done.error());
    outcome = put(item, made, place, now);
  }
  if (!outcome || *outcome != Outcome::restored) return outcome;
  if (const Status set = set_directory(place, *item.attr); !set) return fail(set.error());
  return outcome;
}

Status Restorer::set_directory(const Place& place, const Attributes& attr) {
  if (place.path.empty()) return set_on(place.dir, place.name, attr);
  directories_[place.path] = attr;
  return {};
}

Result<Outcome> Restorer::restore_root(const Item& item) {
  if (!item.attr || item.change == Change::deleted) return Outcome::nothing_to_make;
  const Result<Comparison> now = compare_directory(item, root_.get());
  if (!now) return fail(now.error());
  if (now->now == Now::same) return Outcome::already;
  if (on_present_ == OnPresent::refuse) return Outcome::in_the_way;
  WholeObject was{.attr = now->stat.attr, .stat = now->stat};
  Result<std::string> xattrs = io::read_xattrs(root_.get());
  if (!xattrs) return fail(xattrs.error());
  was.attr.xattrs = std::move(*xattrs);
  const Status recorded = record_displaced(item, store_.fresh_number(), was, false);
  if (!recorded) return fail(recorded.error());
  directories_[""] = *item.attr;
  return Outcome::restored;
}

Status Restorer::finish() {
  for (auto dir = directories_.rbegin(); dir != directories_.rend(); ++dir) {
    const auto& [path, attr] = *dir;
    const size_t slash = path.rfind('/');
    const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    const Result<Fd> parent = open_parent(path);
    if (!parent) return fail(parent.error());
    const Status set = path.empty()
                           ? io::set_attributes(root_.get(), attr, io::AttributeSet{}, nullptr)
                           : set_on(parent->get(), name, attr);
    if (!set) return set;
  }
  directories_.clear();
  return io::sync_filesystem(root_.get());
}

}  // namespace repl::apply::diverged
