#include "engine/apply/recovery.h"

#include <fcntl.h>

#include <algorithm>
#include <unordered_map>

#include "engine/apply/compare.h"
#include "engine/apply/planned_attributes.h"
#include "engine/apply/planned_parents.h"
#include "engine/apply/workshop.h"
#include "engine/base/bytes.h"
#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/index/entry_codec.h"
#include "engine/io/dir_cache.h"

namespace repl::apply {

namespace {

class Undo {
 public:
  Undo(Staging& staging, Index& index, Log& log, std::vector<PlannedKey> planned)
      : staging_(staging),
        index_(index),
        log_(log),
        planned_(std::move(planned)),
        attributes_(planned_),
        parents_(index, planned_, PlannedParents::First::plan),
        parents_after_(index, planned_, PlannedParents::First::index) {}

  Result<Recovery> run(int root);

 private:
  Result<std::unique_ptr<io::DirCache>> dirs(int root, const DirParents& parents);
  [[nodiscard]] Result<int> open_planned(io::DirCache& dirs, DirId dir) const;
  Status fetch_moved(io::DirCache& planned_dirs);
  Status put_back_all(io::DirCache& dirs);
  Result<bool> put_back_from(io::DirCache& dirs, int area, size_t depth);
  Result<bool> put_back(io::DirCache& dirs, int from, const std::string& name);
  Status take_away_new(io::DirCache& dirs);
  Status set_back(io::DirCache& dirs, const Key& key, const Entry& entry);
  [[nodiscard]] bool of_appends(const Key& key, const Entry& entry, const Attributes& now) const;
  Status cut_tail(int dir, const Key& key, const Entry& entry);
  Status put_everything_back(int root, io::DirCache& index_dirs);
  Result<bool> free_name(int dir, const std::string& name, const Key& key);
  Status keep(int dir, const std::string& name, const Key& key);
  Result<std::optional<Key>> homeless(io::DirCache& dirs, int dir, const std::string& name,
                                      size_t depth);
  Status keep_rest(io::DirCache& dirs);
  static bool stands_at(io::DirCache& dirs, const Key& key, const io::Stat& stat);
  [[nodiscard]] std::vector<int> areas() const;
  [[nodiscard]] bool is_entry(const Key& key, const io::Stat& stat) const;
  [[nodiscard]] bool is_known(const io::Stat& stat) const;

  Staging& staging_;
  Index& index_;
  Log& log_;
  std::vector<PlannedKey> planned_;
  PlannedAttributes attributes_;
  PlannedParents parents_;
  PlannedParents parents_after_;
  Recovery result_;
  uint64_t fetched_ = 0;
  std::vector<Key>
      went_back_;       // of no plan, where what a plan moved was removed with its directory
  bool waits_ = false;  // something could not go back yet: a directory of a plan still held others
  bool keeps_ = false;  // no more waiting: such a directory is kept
};

Result<std::unique_ptr<io::DirCache>> Undo::dirs(int root, const DirParents& parents) {
  Fd copy(::fcntl(root, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return fail_errno("duplicate a descriptor");
  return std::make_unique<io::DirCache>(std::move(copy), parents);
}

// A directory that a plan made is not the one that is back in its place by now.
Result<int> Undo::open_planned(io::DirCache& dirs, DirId dir) const {
  const Result<int> fd = dirs.open(dir);
  if (!fd || dir == root_dir || index_.place_of(dir)) return fd;
  const Result<io::Stat> stat = io::stat_fd(*fd);
  if (!stat) return fail(stat.error());
  if (is_known(*stat)) return fail(ErrorCode::not_found, "another directory is there");
  return fd;
}

// Moved directories that reached their new place come back to staging, deepest first.
Status Undo::fetch_moved(io::DirCache& planned_dirs) {
  for (auto plan = planned_.rbegin(); plan != planned_.rend(); ++plan) {
    if (plan->removed || !plan->attr.dir.is_set() || plan->key.is_root()) continue;
    const auto place = index_.place_of(plan->attr.dir);
    if (!place || Key{.dir = place->parent, .name = place->name} == plan->key) continue;
    const Result<int> parent = open_planned(planned_dirs, plan->key.dir);
    if (!parent) continue;
    const Result<io::Stat> stat = io::stat_at(*parent, plan->key.name);
    if (!stat || !is_entry(Key{.dir = place->parent, .name = place->name}, *stat)) continue;
    const Status moved =
        io::rename_noreplace(*parent, plan->key.name, staging_.old_dir(), staging_.fresh_name());
    if (!moved) return moved;
    ++fetched_;
  }
  return {};
}

// Something stands where a version of the index belongs: ours as planned goes to new/ (and away), a
// directory of ours once nothing is left in it; else it is kept. False: not yet.
Result<bool> Undo::free_name(int dir, const std::string& name, const Key& key) {
  const auto done = [](const Status& status) -> Result<bool> {
    if (!status) return fail(status.error());
    return true;
  };
  const Result<io::Stat> stat = io::stat_at(dir, name);
  if (!stat && stat.error().code == ErrorCode::not_found) return true;
  if (!stat) return fail(stat.error());
  if (!attributes_.made(key, stat->attr)) return done(keep(dir, name, key));
  if (stat->attr.type != FileType::directory)
    return done(io::rename_noreplace(dir, name, staging_.new_dir(0), staging_.fresh_name()));
  // One that the index knows goes back to its own place.
  if (!is_known(*stat) && io::remove_dir(dir, name)) return true;
  if (keeps_) return done(keep(dir, name, key));
  waits_ = true;
  return false;
}

Status Undo::keep(int dir, const std::string& name, const Key& key) {
  const std::string aside = staging_.fresh_name();
  note_kept(index_, aside, key, CutNumber{});
  return io::rename_noreplace(dir, name, staging_.kept_dir(), aside);
}

// What is in staging is another name of it then, that a cut made.
bool Undo::stands_at(io::DirCache& dirs, const Key& key, const io::Stat& stat) {
  const Result<int> parent = dirs.open(key.dir);
  const Result<io::Stat> there = parent ? io::stat_at(*parent, key.name) : fail(parent.error());
  return there && there->local.inode == stat.local.inode;
}

// A key of the index that this object belongs to, and is not at: where it could not be put back.
Result<std::optional<Key>> Undo::homeless(io::DirCache& dirs, int dir, const std::string& name,
                                          size_t depth) {
  const Result<io::Stat> stat = io::stat_at(dir, name);
  if (!stat) return fail(stat.error());
  for (const Key& key : index_.keys_of_inode(stat->local.inode)) {
    if (is_entry(key, *stat) && !stands_at(dirs, key, *stat)) return key;
  }
  if (stat->attr.type != FileType::directory || depth >= limits::directory_depth_max)
    return std::nullopt;
  const Result<Fd> below = io::open_dir(dir, name);
  if (!below) return fail(below.error());
  std::vector<std::string> names;
  const Status listed = io::list_dir(below->get(), [&](std::string_view child, FileType) {
    names.emplace_back(child);
    return true;
  });
  if (!listed) return fail(listed.error());
  for (const std::string& child : names) {
    Result<std::optional<Key>> found = homeless(dirs, below->get(), child, depth + 1);
    if (!found || *found) return found;
  }
  return std::nullopt;
}

// What is left in staging goes, but not the only version of a key.
Status Undo::keep_rest(io::DirCache& dirs) {
  for (const int area : areas()) {
    std::vector<std::string> names;
    const Status listed = io::list_dir(area, [&](std::string_view name, FileType) {
      names.emplace_back(name);
      return true;
    });
    if (!listed) return listed;
    for (const std::string& name : names) {
      const Result<std::optional<Key>> of = homeless(dirs, area, name, 0);
      if (!of) return fail(of.error());
      if (!*of) continue;
      log_.warn("kept after a crash, it could not be put back: {}",
                escape(index_.path_of(**of).value_or((*of)->name)));
      if (const Status kept = keep(area, name, **of); !kept) return kept;
    }
  }
  return {};
}

std::vector<int> Undo::areas() const {
  std::vector<int> areas = {staging_.old_dir()};
  for (size_t n = 0; n < spread_dirs; ++n) areas.push_back(staging_.new_dir(n));
  return areas;
}

bool Undo::is_known(const io::Stat& stat) const {
  return std::ranges::any_of(index_.keys_of_inode(stat.local.inode),
                             [&](const Key& key) { return is_entry(key, stat); });
}

// The object that the index has at the key: inode numbers are used again, births are not.
bool Undo::is_entry(const Key& key, const io::Stat& stat) const {
  const std::optional<Entry> entry = index_.get(key);
  return entry && entry->attr.type == stat.attr.type && entry->local.inode == stat.local.inode &&
         entry->local.birth == stat.local.birth;
}

Result<bool> Undo::put_back(io::DirCache& dirs, int from, const std::string& name) {
  const Result<io::Stat> stat = io::stat_at(from, name);
  if (!stat) return fail(stat.error());
  for (const Key& key : index_.keys_of_inode(stat->local.inode)) {
    if (!is_entry(key, *stat)) continue;
    const Result<int> parent = dirs.open(key.dir);
    if (!parent) continue;
    const Result<io::Stat> present = io::stat_at(*parent, key.name);
    if (present && present->local.inode == stat->local.inode) continue;
    if (present) {
      const Result<bool> freed = free_name(*parent, key.name, key);
      if (!freed) return freed;
      if (!*freed) continue;
    }
    const Status moved = io::rename_noreplace(from, name, *parent, key.name);
    if (!moved) return fail(moved.error());
    ++result_.put_back;
    went_back_.push_back(key);
    log_.info("put back after a crash: {}", escape(index_.path_of(key).value_or(key.name)));
    return true;
  }
  return false;
}

// What goes back from this area. A directory that was being built there may hold files that were
// moved into it, the only versions of their keys.
Result<bool> Undo::put_back_from(io::DirCache& dirs, int area, size_t depth) {
  std::vector<std::pair<std::string, FileType>> found;
  const Status listed = io::list_dir(area, [&](std::string_view name, FileType type) {
    found.emplace_back(name, type);
    return true;
  });
  if (!listed) return fail(listed.error());
  bool progress = false;
  for (const auto& [name, type] : found) {
    Result<bool> done = put_back(dirs, area, name);
    if (!done) return done;
    progress = progress || *done;
    if (*done || type != FileType::directory || depth >= limits::directory_depth_max) continue;
    const Result<Fd> below = io::open_dir(area, name);
    if (!below) continue;
    done = put_back_from(dirs, below->get(), depth + 1);
    if (!done) return done;
    progress = progress || *done;
  }
  return progress;
}

Status Undo::put_back_all(io::DirCache& dirs) {
  // Several passes: a directory that is put back makes room for what was in it.
  for (bool progress = true; progress;) {
    progress = false;
    for (const int area : areas()) {
      const Result<bool> done = put_back_from(dirs, area, 0);
      if (!done) return fail(done.error());
      progress = progress || *done;
    }
  }
  return {};
}

// A file that cuts which are not durable appended to in place, maybe in part: all but its last
// write has some plan's time, and no plan's size is less than the index's.
bool Undo::of_appends(const Key& key, const Entry& entry, const Attributes& now) const {
  if (entry.attr.type != FileType::regular || now.type != FileType::regular) return false;
  uint64_t longest = 0;
  bool appends = false;
  std::vector<const Attributes*> known = {&entry.attr};
  for (const PlannedKey& plan : planned_) {
    if (plan.key != key || plan.removed || plan.attr.type != FileType::regular) continue;
    known.push_back(&plan.attr);
    if (!plan.appends) continue;
    appends = true;
    longest = std::max(longest, plan.attr.size);
  }
  const auto some = [&](const auto& is) { return std::ranges::any_of(known, is); };
  return appends && now.size >= entry.attr.size && now.size <= longest &&
         some([&](const Attributes* a) { return now.uid == a->uid; }) &&
         some([&](const Attributes* a) { return now.gid == a->gid; }) &&
         some([&](const Attributes* a) {
           return now.mode == a->mode ||
                  some([&](const Attributes* b) { return now.mode == (a->mode & b->mode & 0700); });
         });
}

Status Undo::cut_tail(int dir, const Key& key, const Entry& entry) {
  const Result<Fd> file = io::open_write(dir, key.name);
  if (!file) return fail(file.error());
  const Result<io::Stat> stat = io::stat_fd(file->get());
  if (!stat) return fail(stat.error());
  if (!is_entry(key, *stat)) return {};  // RACE: another file took the name
  log_.info("taken back after a crash: what was appended to {}",
            escape(index_.path_of(key).value_or(key.name)));
  return io::truncate(file->get(), entry.attr.size);
}

Status Undo::set_back(io::DirCache& dirs, const Key& key, const Entry& entry) {
  const bool is_dir = entry.attr.type == FileType::directory;
  const Result<int> dir = dirs.open(is_dir ? entry.attr.dir : key.dir);
  if (!dir) return {};
  Fd held;
  int fd = *dir;
  if (!is_dir) {
    Result<Fd> opened = entry.attr.type == FileType::regular ? io::open_read(*dir, key.name)
                                                             : io::open_path(*dir, key.name);
    if (!opened) return {};
    held = std::move(*opened);
    fd = held.get();
  }
  Result<io::Stat> stat = io::stat_fd(fd);
  if (!stat) return fail(stat.error());
  if (!is_entry(key, *stat) || entry.attr.transit) return {};
  if (stat->local.ctime != entry.local.ctime) {
    const Result<std::string_view> differs =
        fd_difference(entry.attr, fd, *stat, DirTimes::compare);
    if (!differs) return fail(differs.error());
    const bool appended = !differs->empty() && of_appends(key, entry, stat->attr);
    if (*differs == "size" && !appended) return {};
    if (appended && stat->attr.size != entry.attr.size) {
      if (const Status cut = cut_tail(*dir, key, entry); !cut) return cut;
    }
    if (!differs->empty()) {
      if (!is_dir && !appended && !attributes_.made_of(key, entry.attr, stat->attr)) return {};
      if (const Status set = io::set_attributes(fd, entry.attr, io::AttributeSet{}, nullptr); !set)
        return set;
      ++result_.undone;
      stat = io::stat_fd(fd);
      if (!stat) return fail(stat.error());
    }
    // What is written with the old times is as the index says; its content is found by the scan
    // otherwise.
    stat->local.handle = entry.local.handle;
    index_.put_local(key, stat->local);
  }
  return {};
}

Status Undo::take_away_new(io::DirCache& planned_dirs) {
  for (auto plan = planned_.rbegin(); plan != planned_.rend(); ++plan) {
    if (plan->removed || plan->key.is_root() || index_.contains(plan->key)) continue;
    const Result<int> parent = open_planned(planned_dirs, plan->key.dir);
    if (!parent) continue;
    const Result<io::Stat> stat = io::stat_at(*parent, plan->key.name);
    if (!stat || !attributes_.made(plan->key, stat->attr)) continue;
    if (plan->attr.type == FileType::directory) {
      // Not one that the index knows, which a later cut moved here.
      if (index_.place_of(plan->attr.dir) || is_known(*stat)) continue;
      planned_dirs.forget(plan->attr.dir);
    }
    // A directory that somebody else uses meanwhile is not empty, and stays. A file may be one that
    // was moved here, the only version of another key: it is put back from new/, or goes with it.
    const Status gone = plan->attr.type == FileType::directory
                            ? io::remove_dir(*parent, plan->key.name)
                            : io::rename_noreplace(*parent, plan->key.name, staging_.new_dir(0),
                                                   staging_.fresh_name());
    if (gone) ++result_.undone;
  }
  return {};
}

// What was put back may hold new names and moved ones, too: a directory that a later cut removed,
// or replaced. Each pass takes at least one of them out.
Status Undo::put_everything_back(int root, io::DirCache& index_dirs) {
  const auto progress = [this] { return result_.undone + result_.put_back + fetched_; };
  for (uint64_t before = UINT64_MAX; before != progress();) {
    before = progress();
    waits_ = false;
    index_dirs.next_generation();
    if (const Status done = put_back_all(index_dirs); !done) return done;
    for (size_t back = 0; back < parents_after_.most(); ++back) {
      parents_after_.look_back(back);
      const auto final_dirs = dirs(root, parents_after_);
      if (!final_dirs) return fail(final_dirs.error());
      if (const Status done = take_away_new(**final_dirs); !done) return done;
      if (const Status done = fetch_moved(**final_dirs); !done) return done;
    }
  }
  return {};
}

Result<Recovery> Undo::run(int root) {
  auto planned_dirs = dirs(root, parents_);
  if (!planned_dirs) return fail(planned_dirs.error());
  // New names first, while the plan's directories are where it put them. New directories that held
  // moved ones are empty only after those have left, or, below a moved one, after it is back.
  if (const Status done = take_away_new(**planned_dirs); !done) return fail(done.error());
  if (const Status done = fetch_moved(**planned_dirs); !done) return fail(done.error());
  (*planned_dirs)->next_generation();
  if (const Status done = take_away_new(**planned_dirs); !done) return fail(done.error());
  auto index_dirs = dirs(root, index_);
  if (!index_dirs) return fail(index_dirs.error());
  if (const Status done = put_everything_back(root, **index_dirs); !done) return fail(done.error());
  keeps_ = waits_;
  if (keeps_) {
    if (const Status done = put_everything_back(root, **index_dirs); !done)
      return fail(done.error());
  }
  std::vector<Key> touched = went_back_;
  for (const Key& key : went_back_) {  // and the times of the directories that they are in
    const auto place = key.dir == root_dir ? std::nullopt : index_.place_of(key.dir);
    touched.push_back(place ? Key{.dir = place->parent, .name = place->name} : root_key);
  }
  for (const PlannedKey& plan : planned_) {
    result_.planned_keys.push_back(plan.key);
    touched.push_back(plan.key);
    for (const DirId dir : {plan.key.dir, plan.attr.dir}) {
      const auto place = dir == root_dir ? std::nullopt : index_.place_of(dir);
      if (place) touched.push_back(Key{.dir = place->parent, .name = place->name});
      if (place && place->parent != root_dir) {
        const auto above = index_.place_of(place->parent);
        if (above) touched.push_back(Key{.dir = above->parent, .name = above->name});
      }
    }
  }
  if (!planned_.empty()) touched.push_back(root_key);
  // What is done to one name of a file changes the ctime of all.
  for (size_t i = 0, known = touched.size(); i < known; ++i) {
    const std::optional<Entry> entry = index_.get(touched[i]);
    if (!entry || !entry->attr.link.is_set()) continue;
    for (Key& name : index_.keys_of_link(entry->attr.link)) touched.push_back(std::move(name));
  }
  std::ranges::sort(touched);
  const auto rest = std::ranges::unique(touched);
  touched.erase(rest.begin(), rest.end());
  (*index_dirs)->next_generation();
  if (const Status done = keep_rest(**index_dirs); !done) return fail(done.error());
  // Before the last look at what stays: a name that goes from staging changes its inode's ctime.
  if (const Status done = staging_.purge(); !done) return fail(done.error());
  (*index_dirs)->next_generation();
  for (const Key& key : touched) {
    const std::optional<Entry> entry = index_.get(key);
    if (!entry) continue;
    if (const Status done = set_back(**index_dirs, key, *entry); !done) return fail(done.error());
  }
  if (const Status done = remove_plans(staging_); !done) return fail(done.error());
  return std::move(result_);
}

}  // namespace

Result<Recovery> recover(int root, Staging& staging, Index& index, Log& log) {
  Result<std::vector<PlannedKey>> planned = read_plans(staging);
  if (!planned) return fail(planned.error());
  return Undo(staging, index, log, std::move(*planned)).run(root);
}

}  // namespace repl::apply
