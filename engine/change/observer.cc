#include "engine/change/observer.h"

#include <cstring>
#include <utility>

#include "engine/base/limits.h"
#include "engine/model/hash.h"
#include "engine/model/hint_bits.h"

namespace repl::change {

namespace {

bool same_inode(const LocalStat& a, const LocalStat& b) {
  return a.inode == b.inode && a.birth == b.birth;
}

// Does what was under the key go, instead of becoming another version of itself?
bool destroys(const Entry& old, const Entry& now) {
  if (old.attr.type != now.attr.type || old.attr.dir != now.attr.dir) return true;
  if (now.attr.type == FileType::directory) return false;
  return !same_inode(old.local, now.local) || now.attr.size < old.attr.size;
}

}  // namespace

bool same_stat(const Entry& entry, const io::Stat& stat) {
  const Attributes& a = entry.attr;
  const Attributes& b = stat.attr;
  return a.type == b.type && a.size == b.size && entry.local.ctime == stat.local.ctime &&
         same_inode(entry.local, stat.local) && (a.transit || a.mtime == b.mtime);
}

// One look at one key: what was known, what is seen, what becomes of it.
struct Observer::Pass {
  const Key& key;
  int dir_fd;
  Seen& seen;
  uint32_t bits;
  bool scan;
  CutNumber cut;
  Contents contents;
  std::optional<Entry> old;
  Entry now;
  Outcome outcome;
};

Membership Observer::membership(const Key& key, bool is_directory) const {
  if (key.is_root()) {
    return parts_.policy.filter.root_is_included() ? Membership::included : Membership::transit;
  }
  if (key.dir == root_dir && !parts_.reserved_name.empty() && key.name == parts_.reserved_name) {
    return Membership::excluded;
  }
  if (parts_.policy.filter.includes_everything()) return Membership::included;
  const std::optional<std::string> path = parts_.index.path_of(key);
  return path ? parts_.policy.filter.membership(*path, is_directory) : Membership::excluded;
}

Outcome Observer::look(const Key& key, uint32_t bits, CutNumber cut, Contents contents) {
  Outcome outcome;
  const auto failed = [&](Verdict verdict, const Error& error) {
    outcome.verdict = verdict;
    outcome.error = error;
    return outcome;
  };
  Seen seen;
  if (key.is_root()) {
    Result<io::Stat> stat = io::stat_fd(parts_.dirs.root());
    if (!stat) return failed(Verdict::unreadable, stat.error());
    seen.stat = std::move(*stat);
    return observe(key, parts_.dirs.root(), std::move(seen), bits, false, cut, contents);
  }
  // A directory that lost its place may still be open, under another one's id by now.
  const bool placed = key.dir == root_dir || parts_.index.place_of(key.dir).has_value();
  if (!placed) {
    return failed(Verdict::no_parent,
                  make_error(ErrorCode::not_found, "its directory is in no place"));
  }
  const Result<int> dir = parts_.dirs.open(key.dir);
  if (!dir) {
    if (const std::optional<DirSummary> at = parts_.index.summary(key.dir)) {
      outcome.also.push_back(at->place);
    }
    return failed(Verdict::no_parent, dir.error());
  }
  Result<io::Stat> stat = io::stat_at(*dir, key.name);
  if (!stat) {
    const bool gone = stat.error().code == ErrorCode::not_found;
    return failed(gone ? Verdict::gone : Verdict::unreadable, stat.error());
  }
  seen.stat = std::move(*stat);
  return observe(key, *dir, std::move(seen), bits, false, cut, contents);
}

Outcome Observer::observe(const Key& key, int dir_fd, Seen seen, uint32_t bits, bool scan,
                          CutNumber cut, Contents contents) {
  Pass pass{.key = key,
            .dir_fd = dir_fd,
            .seen = seen,
            .bits = bits,
            .scan = scan,
            .cut = cut,
            .contents = contents,
            .old = {},
            .now = {},
            .outcome = {}};
  Outcome& outcome = pass.outcome;
  const bool directory = seen.stat.attr.type == FileType::directory;
  const Membership member = membership(key, directory);
  if (member == Membership::excluded || (member == Membership::transit && !directory)) {
    outcome.verdict = Verdict::excluded;
    return outcome;
  }
  if (seen.stat.mount != parts_.root_mount && parts_.root_mount != 0) {
    outcome.verdict = Verdict::covered;
    return outcome;
  }
  pass.old = parts_.index.get(key);
  const bool racy =
      pass.old && is_racy(pass.old->local) && pass.old->attr.type == FileType::regular;
  const bool suspect = racy && (scan || (bits & hint_modified) != 0);
  const bool unsent = (bits & hint_unsent) != 0;
  if (pass.old && same_stat(*pass.old, seen.stat) && !suspect && !unsent)
    return settle_unchanged(pass);
  if (!seen.details && !read_details(pass)) return std::move(outcome);
  pass.now.attr = seen.stat.attr;
  pass.now.local = seen.stat.local;
  pass.now.attr.xattrs = seen.xattrs;
  pass.now.attr.target = seen.target;
  pass.now.cut = cut;
  if (parts_.policy.ids_by_name) describe_owner(pass.now.attr);
  if (member == Membership::transit) {
    pass.now.attr = Attributes{};
    pass.now.attr.type = FileType::directory;
    pass.now.attr.transit = true;
  }
  if (!directory && pass.old && pass.old->attr.type == FileType::directory && !may_replace(pass)) {
    outcome.verdict = Verdict::held;
    return std::move(outcome);
  }
  if (directory && !settle_directory(pass)) return std::move(outcome);
  if (seen.stat.attr.type == FileType::regular && !settle_content(pass)) return std::move(outcome);
  if (!directory) settle_links(pass);
  name_those_left_behind(pass);
  if (pass.old && pass.old->attr == pass.now.attr && !outcome.item.content_changed && !unsent) {
    parts_.index.put_local(key, pass.now.local);
    return std::move(outcome);
  }
  record_change(pass);
  return std::move(outcome);
}

// The stat is the index's. Only two things may be new: other names of the inode, and that by now
// the entry is old enough to be trusted.
Outcome Observer::settle_unchanged(Pass& pass) {
  const bool linked = pass.seen.stat.nlink > 1 || pass.old->attr.link.is_set();
  if (linked && pass.old->attr.type != FileType::directory) {
    pass.now = *pass.old;
    pass.now.cut = pass.cut;
    settle_links(pass);
    if (pass.now.attr != pass.old->attr) {
      record_change(pass);
      return std::move(pass.outcome);
    }
  }
  // A file is trusted only once it was read again.
  if (is_racy(pass.old->local) && pass.old->attr.type != FileType::regular) {
    LocalStat local = pass.old->local;
    local.seen_wall_ns = pass.seen.stat.local.seen_wall_ns;
    parts_.index.put_local(pass.key, local);
  }
  return std::move(pass.outcome);
}

void Observer::record_change(Pass& pass) {
  CutItem& item = pass.outcome.item;
  pass.outcome.verdict = Verdict::changed;
  item.key = pass.key;
  item.attr = pass.now.attr;
  item.destroys = pass.old && destroys(*pass.old, pass.now);
  item.unsent = (pass.bits & hint_unsent) != 0;
  if (item.unsent) {
    item.content_changed = item.attr.type == FileType::regular;
    item.copy_from.reset();
  } else if (pass.old && pass.old->attr.type == FileType::regular) {
    item.base_content = pass.old->attr.content;
    item.base_size = pass.old->attr.size;
  }
  parts_.index.put(pass.key, pass.now);
}

void Observer::describe_owner(Attributes& attr) {
  attr.owner = names_.user(attr.uid);
  attr.group = names_.group(attr.gid);
}

// Attributes that a stat does not tell. The object may be replaced between the stat and here; then
// the look is begun again by the event that says so, and what is recorded now is what this
// descriptor shows.
bool Observer::read_details(Pass& pass) {
  const auto failed = [&](const Error& error) {
    pass.outcome.verdict = error.code == ErrorCode::not_found ? Verdict::gone : Verdict::unreadable;
    pass.outcome.error = error;
    return false;
  };
  const bool directory = pass.seen.stat.attr.type == FileType::directory;
  Fd opened;
  int fd = parts_.dirs.root();
  if (!pass.key.is_root()) {
    Result<Fd> result = directory ? io::open_dir(pass.dir_fd, pass.key.name)
                                  : io::open_path(pass.dir_fd, pass.key.name);
    if (!result) return failed(result.error());
    opened = std::move(*result);
    fd = opened.get();
  }
  Result<std::string> xattrs = io::read_xattrs(fd);
  if (!xattrs) return failed(xattrs.error());
  pass.seen.xattrs = std::move(*xattrs);
  if (directory) {
    Result<std::string> handle = io::handle_of(fd);
    if (handle) pass.seen.handle = std::move(*handle);
  }
  if (pass.seen.stat.attr.type == FileType::symlink) {
    Result<std::string> target = io::read_link(pass.dir_fd, pass.key.name);
    if (!target) return failed(target.error());
    pass.seen.target = std::move(*target);
  }
  pass.seen.details = true;
  return true;
}

bool Observer::may_replace(const Pass& pass) const {
  return !parts_.may_replace || parts_.may_replace(pass.key, *pass.old);
}

// Which directory is it? A known handle keeps its id wherever it is found now; an unknown handle at
// a known key keeps the key's id (a restored filesystem); else it is new.
bool Observer::settle_directory(Pass& pass) {
  Index& index = parts_.index;
  Attributes& attr = pass.now.attr;
  pass.now.local.handle = pass.seen.handle;
  if (pass.key.is_root()) {
    attr.dir = root_dir;
    if (!pass.old) pass.outcome.list = root_dir;
    return true;
  }
  const bool was_directory = pass.old && pass.old->attr.type == FileType::directory;
  std::optional<DirId> known;
  if (!pass.seen.handle.empty()) known = index.dir_of_handle(pass.seen.handle);
  if (known == root_dir) known.reset();
  if (known && was_directory && pass.old->attr.dir == *known) {
    attr.dir = *known;
    return true;
  }
  if (known) {
    const std::optional<DirSummary> at = index.summary(*known);
    const std::optional<std::string> from = at ? index.path_of(at->place) : std::nullopt;
    const std::optional<std::string> to = index.path_of(pass.key);
    const bool same_rules = parts_.policy.filter.includes_everything() ||
                            (from && to && parts_.policy.filter.same_below(*from, *to));
    if (at && same_rules && index.can_move(*known, pass.key.dir)) {
      if (was_directory) {
        if (!may_replace(pass)) {
          pass.outcome.verdict = Verdict::held;
          pass.outcome.there = *known;
          return false;
        }
        pass.outcome.left.emplace_back(pass.old->attr.dir, pass.key);
        index.detach_dir(pass.old->attr.dir);
        parts_.dirs.forget(pass.old->attr.dir);
      }
      pass.outcome.left.emplace_back(*known, at->place);
      pass.outcome.also.push_back(at->place);
      parts_.dirs.forget(*known);
      attr.dir = *known;
      return true;
    }
  }
  if (was_directory && known && !may_replace(pass)) {
    pass.outcome.verdict = Verdict::held;
    return false;
  }
  attr.dir = was_directory && !known ? pass.old->attr.dir : parts_.ids.next_dir();
  pass.outcome.list = attr.dir;
  // RACE: a directory of this id may still be open that has been removed since.
  parts_.dirs.forget(attr.dir);
  return true;
}

// Is the content another than the index says, and can it be known cheaply?
bool Observer::settle_content(Pass& pass) {
  Attributes& attr = pass.now.attr;
  const std::optional<Entry>& old = pass.old;
  const bool was_file = old && old->attr.type == FileType::regular;
  const bool same_inode_as_old = was_file && same_inode(old->local, pass.now.local);
  const bool same_content_by_stat =
      same_inode_as_old && old->attr.size == attr.size && old->attr.mtime == attr.mtime &&
      (pass.bits & hint_modified) == 0 && !pass.scan && old->attr.content.is_set();
  if (same_content_by_stat) {
    attr.content = old->attr.content;
    return true;
  }
  if (attr.size == 0) {
    attr.content = hash_bytes({});
    pass.outcome.item.content_changed = !was_file || old->attr.size != 0;
    pass.outcome.item.bytes = std::make_shared<const std::string>();
    return true;
  }
  if (!same_inode_as_old && pass.seen.stat.nlink == 1 && (pass.bits & hint_modified) == 0) {
    for (const Key& from : parts_.index.keys_of_inode(pass.now.local.inode)) {
      const std::optional<Entry> was = parts_.index.get(from);
      if (from == pass.key || !was || !same_inode(was->local, pass.now.local)) continue;
      pass.outcome.also.push_back(from);
      if (was->attr.type == FileType::regular && was->attr.size == attr.size &&
          was->attr.mtime == attr.mtime && was->attr.content.is_set() && !is_racy(was->local)) {
        attr.content = was->attr.content;
        pass.outcome.item.copy_from = from;
        pass.outcome.item.content_changed = true;
        return true;
      }
    }
  }
  // One that was only too young to be trusted is mostly unchanged: reading it now spares sending it
  // again.
  const bool same_stat_as_old =
      was_file && same_stat(*old, pass.seen.stat) && old->attr.content.is_set();
  if (attr.size <= limits::inline_bytes_max &&
      (pass.contents == Contents::read_small || same_stat_as_old)) {
    if (!read_small(pass)) return false;
    pass.outcome.item.content_changed = !was_file || !attr.content.is_set() ||
                                        old->attr.content != attr.content ||
                                        old->attr.size != attr.size;
    if (!pass.outcome.item.content_changed) pass.outcome.item.bytes.reset();
    return true;
  }
  pass.outcome.item.content_changed = true;
  return true;
}

// A stable read: statx, read, statx. Of a file that does not hold still the content stays unknown:
// the sender reads it when it does, and the event that changed it brings it back.
bool Observer::read_small(Pass& pass) {
  Result<Fd> fd = io::open_read(pass.dir_fd, pass.key.name);
  if (!fd) {
    pass.outcome.verdict =
        fd.error().code == ErrorCode::not_found ? Verdict::gone : Verdict::unreadable;
    pass.outcome.error = fd.error();
    return false;
  }
  for (int attempt = 1;; ++attempt) {
    const Result<io::Stat> before = io::stat_fd(fd->get());
    scratch_.resize(limits::inline_bytes_max + 1);
    const Result<size_t> size = io::read_at(fd->get(), 0, scratch_.data(), scratch_.size());
    // The attributes that were read with the first look hold while the ctime is that look's.
    const bool as_seen = before && before->local.ctime == pass.seen.stat.local.ctime &&
                         same_inode(before->local, pass.seen.stat.local);
    Result<std::string> xattrs = as_seen ? pass.seen.xattrs : io::read_xattrs(fd->get());
    const Result<io::Stat> after = io::stat_fd(fd->get());
    if (!before || !size || !xattrs || !after) {
      pass.outcome.verdict = Verdict::unreadable;
      pass.outcome.error = !size     ? size.error()
                           : !xattrs ? xattrs.error()
                           : !before ? before.error()
                                     : after.error();
      return false;
    }
    const bool stable = before->local.ctime == after->local.ctime &&
                        before->attr.mtime == after->attr.mtime && *size == after->attr.size &&
                        (!is_racy(before->local) || reads_the_same(fd->get(), *size));
    if (!stable && attempt < limits::stable_read_tries_max) continue;
    Attributes& attr = pass.now.attr;
    const Attributes& is = after->attr;
    attr.mtime = is.mtime;
    attr.mode = is.mode;
    attr.uid = is.uid;
    attr.gid = is.gid;
    attr.xattrs = std::move(*xattrs);
    if (parts_.policy.ids_by_name) describe_owner(attr);
    // What did not hold still is recorded as it was before: its next look finds another ctime.
    pass.now.local = stable ? after->local : before->local;
    if (!stable) pass.now.local.seen_wall_ns = 0;  // racy: looked at again by whatever comes
    // The same if it grew past what is kept in memory: the sender streams it.
    if (!stable || *size > limits::inline_bytes_max) {
      attr.size = is.size;
      attr.content = Digest{};
      pass.outcome.item.content_changed = true;
      return true;
    }
    attr.size = *size;
    std::string bytes(scratch_, 0, *size);
    ContentHasher hasher;
    hasher.update(bytes);
    attr.content = hasher.finish();
    pass.outcome.item.bytes = std::make_shared<const std::string>(std::move(bytes));
    return true;
  }
}

// RACE: what is younger than the granularity of ctime may change without a trace in it.
bool Observer::reads_the_same(int fd, size_t size) {
  again_.resize(scratch_.size());
  const Result<size_t> got = io::read_at(fd, 0, again_.data(), again_.size());
  return got && *got == size && std::memcmp(again_.data(), scratch_.data(), size) == 0;
}

// All names of the inode that are in the tree share a link id and know their number. A name that
// joins or leaves makes the others records of this cut, too: they are in `also`.
void Observer::settle_links(Pass& pass) {
  Attributes& attr = pass.now.attr;
  std::vector<Key> others;
  LinkId link;
  if (pass.seen.stat.nlink > 1) {
    for (Key& other : parts_.index.keys_of_inode(pass.now.local.inode)) {
      if (other == pass.key) continue;
      const std::optional<Entry> entry = parts_.index.get(other);
      if (!entry || !same_inode(entry->local, pass.now.local)) continue;
      if (entry->attr.link.is_set()) link = entry->attr.link;
      others.push_back(std::move(other));
    }
  }
  attr.link = LinkId{};
  attr.link_names = static_cast<uint32_t>(others.size() + 1);
  if (others.empty()) return;
  if (!link.is_set() && pass.old && same_inode(pass.old->local, pass.now.local)) {
    link = pass.old->attr.link;
  }
  attr.link = link.is_set() ? link : parts_.ids.next_link();
  for (Key& other : others) {
    const std::optional<Entry> entry = parts_.index.get(other);
    const bool settled = entry && entry->attr.link == attr.link &&
                         entry->attr.link_names == attr.link_names &&
                         entry->local.ctime == pass.now.local.ctime;
    if (!settled) pass.outcome.also.push_back(std::move(other));
  }
}

// Another object took the name, without an event for the file that had it: its other names are one
// fewer, and what was written to it through this name is theirs.
void Observer::name_those_left_behind(Pass& pass) const {
  const std::optional<Entry>& old = pass.old;
  if (!old || !old->attr.link.is_set() || same_inode(old->local, pass.now.local)) return;
  for (Key& other : parts_.index.keys_of_link(old->attr.link)) {
    if (other != pass.key) pass.outcome.left_behind.push_back(std::move(other));
  }
}

}  // namespace repl::change
