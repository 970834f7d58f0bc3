#include "engine/change/held_removals.h"

#include <algorithm>
#include <utility>

#include "engine/base/bytes.h"

namespace repl::change {

namespace {

constexpr std::string_view held_meta = "held-removals";  // i64: when it began, wall clock

// Every entry below the directory, in no useful order.
template <typename Visit>
void for_all_below(const Index& index, DirId top, Visit&& visit) {
  std::vector<DirId> below{top};
  while (!below.empty()) {
    const DirId dir = below.back();
    below.pop_back();
    index.for_children(dir, [&](std::string_view name, const Entry& entry) {
      if (entry.attr.type == FileType::directory) below.push_back(entry.attr.dir);
      visit(dir, name, entry);
      return true;
    });
  }
}

int64_t wall_ns(const Timestamp& at) {
  return at.seconds * 1'000'000'000 + static_cast<int64_t>(at.nanoseconds);
}

}  // namespace

HeldRemovals::HeldRemovals(Index& index, const DeleteLimits& limits, const Clock& clock, Log& log,
                           std::string name)
    : index_(index), brake_(limits), clock_(clock), log_(log), name_(std::move(name)) {
  const std::optional<std::string> meta = index_.meta(held_meta);
  if (!meta || !limits.on) return;
  ByteReader in(*meta);
  began_wall_ns_ = in.i64();
  engaged_ = to_scan_ = true;
}

void HeldRemovals::begin() {
  const uint64_t entries = index_.counts().entries;
  brake_.saw(entries - std::min(entries, approved_entries_), clock_.now());
}

uint64_t HeldRemovals::left_without(uint64_t going) const {
  const uint64_t entries = index_.counts().entries;
  return entries - std::min(entries, entries_ + approved_entries_ + going);
}

bool HeldRemovals::allowed(uint64_t going) {
  if (engaged_) return false;
  const uint64_t left = left_without(going);
  if (!brake_.allows(left, clock_.now())) return false;
  say_passed(left);
  return true;
}

// Said when the count alone was exceeded, and again when as much has gone once more.
void HeldRemovals::say_passed(uint64_t left) {
  const uint64_t most = brake_.most(clock_.now());
  const uint64_t lost = most > left ? most - left : 0;
  if (lost <= brake_.limits().entries) {
    said_lost_ = 0;
  } else if (lost >= 2 * said_lost_) {
    said_lost_ = lost;
    log_.info("{}: {} of {} entries were removed within {} minutes: not more than {} %, they go",
              name_, lost, most, limits::delete_window_ms / 60'000, brake_.limits().percent);
  }
}

std::vector<Key> HeldRemovals::judge(const std::set<Key>& gone) {
  if (!brake_.limits().on) return {gone.begin(), gone.end()};
  std::vector<Key> go;
  const std::vector<Top> tops = fresh(gone, go);
  uint64_t going = 0;
  for (const Top& top : tops) going += size_of(top.entry);
  if (going == 0) return go;
  const bool all_go = allowed(going);
  for (const auto& [key, entry] : tops) {
    Extent extent;
    if (!all_go) measure(key, entry, gone, extent);
    if (all_go || extent.lost == 0) {
      forget_below(entry);
      go.push_back(key);
      continue;
    }
    hold(key, entry, extent, false);
    std::ranges::move(extent.elsewhere, std::back_inserter(go));
  }
  return go;
}

// Keys that nothing is known of yet, without those that go with a directory above them. What was
// approved, or is no loss any more, goes.
std::vector<HeldRemovals::Top> HeldRemovals::fresh(const std::set<Key>& gone,
                                                   std::vector<Key>& go) {
  std::vector<Top> tops;
  std::optional<DirId> last;  // many keys of one directory follow each other
  bool below = false;
  for (const Key& key : gone) {
    const auto held = held_.find(key);
    std::optional<Entry> entry = index_.get(key);
    if (!entry) {
      present(key);
      continue;
    }
    if (take_approval(key)) {
      forget_below(*entry);
      go.push_back(key);
      continue;
    }
    const bool known = held != held_.end() || covers(key.dir);
    if (known) {
      if (held != held_.end()) held->second.replaced = false;
      if (!is_elsewhere(key, *entry, gone)) continue;
      if (held != held_.end()) drop(held);
      go.push_back(key);
      continue;
    }
    if (last != key.dir) below = is_below(key.dir, gone);
    last = key.dir;
    if (!below) tops.push_back(Top{.key = key, .entry = std::move(*entry)});
  }
  return tops;
}

bool HeldRemovals::may_replace(const Key& key, const Entry& old) {
  if (!brake_.limits().on || old.attr.type != FileType::directory) return true;
  if (take_approval(key)) {
    forget_below(old);
    return true;
  }
  if (alive_.erase(key) > 0) return true;
  if (const auto held = held_.find(key); held != held_.end()) {
    held->second.replaced = true;
    return false;
  }
  const uint64_t size = size_of(old);
  Extent extent;
  const bool empty = size <= 1;
  const bool allows = empty || allowed(size);
  if (!allows) measure(key, old, {key}, extent);
  if (allows || extent.lost <= 1) {
    forget_below(old);
    return true;
  }
  hold(key, old, extent, true);
  return false;
}

uint64_t HeldRemovals::size_of(const Entry& entry) const {
  uint64_t size = 1;
  if (entry.attr.type != FileType::directory) return size;
  for_all_below(index_, entry.attr.dir, [&](DirId, std::string_view, const Entry&) { ++size; });
  return size;
}

void HeldRemovals::measure(const Key& key, const Entry& entry, const std::set<Key>& gone,
                           Extent& extent) const {
  const auto count = [&](DirId dir, std::string_view name, const Entry& each) {
    Key at{.dir = dir, .name = std::string(name)};
    if (is_elsewhere(at, each, gone)) return extent.elsewhere.push_back(std::move(at));
    ++extent.entries;
    if (each.attr.type == FileType::regular && !each.attr.content.is_set()) ++extent.unknown;
    const bool since = began_wall_ns_ != 0 && wall_ns(each.local.birth) > began_wall_ns_;
    if (!since) ++extent.lost;
  };
  count(key.dir, key.name, entry);
  if (entry.attr.type != FileType::directory) return;
  for_all_below(index_, entry.attr.dir, count);
}

bool HeldRemovals::is_elsewhere(const Key& key, const Entry& entry,
                                const std::set<Key>& gone) const {
  if (entry.attr.type == FileType::directory || entry.local.inode == 0) return false;
  return std::ranges::any_of(index_.keys_of_inode(entry.local.inode), [&](const Key& other) {
    if (other == key || gone.contains(other) || held_.contains(other)) return false;
    const std::optional<Entry> there = index_.get(other);
    return there && there->local.birth == entry.local.birth && !is_below(other.dir, gone);
  });
}

bool HeldRemovals::is_below(DirId dir, const std::set<Key>& gone) const {
  while (dir != root_dir) {
    if (held_dirs_.contains(dir)) return true;
    const auto place = index_.place_of(dir);
    if (!place) return false;
    if (gone.contains(Key{.dir = place->parent, .name = place->name})) return true;
    dir = place->parent;
  }
  return false;
}

bool HeldRemovals::covers(DirId dir) const { return !held_dirs_.empty() && is_below(dir, {}); }

bool HeldRemovals::covers(const Key& key) const {
  return !held_.empty() && (held_.contains(key) || covers(key.dir));
}

void HeldRemovals::hold(const Key& key, const Entry& entry, const Extent& extent, bool replaced) {
  if (!engaged_) {
    engaged_ = true;
    began_wall_ns_ = clock_.wall_ns();
    std::string meta;
    ByteWriter(meta).i64(began_wall_ns_);
    index_.put_meta(held_meta, meta);
  }
  forget_below(entry);
  held_[key] = Held{.entries = extent.entries,
                    .unknown = extent.unknown,
                    .replaced = replaced,
                    .dir = entry.attr.dir};
  entries_ += extent.entries;
  unknown_ += extent.unknown;
  if (entry.attr.dir.is_set()) held_dirs_.insert(entry.attr.dir);
  new_.push_back(key);
}

void HeldRemovals::drop(std::map<Key, Held>::iterator at) {
  entries_ -= at->second.entries;
  unknown_ -= at->second.unknown;
  if (at->second.dir.is_set()) held_dirs_.erase(at->second.dir);
  held_.erase(at);
}

bool HeldRemovals::take_approval(const Key& key) {
  const auto approved = approved_.find(key);
  if (approved == approved_.end()) return false;
  approved_entries_ -= approved->second;
  approved_.erase(approved);
  return true;
}

void HeldRemovals::forget_in(DirId dir) {
  const Key first{.dir = dir, .name = {}};
  for (auto at = held_.lower_bound(first); at != held_.end() && at->first.dir == dir;) drop(at++);
  auto at = approved_.lower_bound(first);
  for (; at != approved_.end() && at->first.dir == dir; at = approved_.erase(at))
    approved_entries_ -= at->second;
}

// What is held, or approved, below a directory goes, or is held, with it.
void HeldRemovals::forget_below(const Entry& entry) {
  if (entry.attr.type != FileType::directory || (held_.empty() && approved_.empty())) return;
  forget_in(entry.attr.dir);
  for_all_below(index_, entry.attr.dir, [&](DirId, std::string_view, const Entry& each) {
    if (each.attr.type == FileType::directory) forget_in(each.attr.dir);
  });
}

void HeldRemovals::present(const Key& key) {
  if (const auto held = held_.find(key); held != held_.end()) drop(held);
  static_cast<void>(take_approval(key));
}

void HeldRemovals::lives(const Key& key) {
  present(key);
  alive_.insert(key);
}

void HeldRemovals::scanned() {
  to_scan_ = false;
  if (held_.empty() && engaged_) release();
}

std::vector<Key> HeldRemovals::settle(bool all_seen) {
  alive_.clear();
  if (all_seen && held_.empty() && engaged_ && !to_scan_) release();
  std::vector<Key> held = std::exchange(new_, {});
  std::erase_if(held, [&](const Key& key) { return !held_.contains(key); });
  return held;
}

void HeldRemovals::release() {
  brake_.forget();
  index_.remove_meta(held_meta);
  began_wall_ns_ = 0;
  said_lost_ = 0;
  engaged_ = to_scan_ = false;
}

std::vector<Key> HeldRemovals::approve() {
  std::vector<Key> keys;
  keys.reserve(held_.size());
  for (const auto& [key, held] : held_) {
    keys.push_back(key);
    approved_[key] = held.entries;
    approved_entries_ += held.entries;
  }
  held_.clear();
  held_dirs_.clear();
  new_.clear();
  entries_ = 0;
  unknown_ = 0;
  release();
  return keys;
}

void HeldRemovals::approve(const std::vector<Key>& keys) {
  for (const Key& key : keys) {
    const std::optional<Entry> entry = index_.get(key);
    if (!entry || approved_.contains(key)) continue;
    if (const auto held = held_.find(key); held != held_.end()) drop(held);
    approved_entries_ += approved_[key] = size_of(*entry);
  }
  if (held_.empty()) release();  // what went with them is no measure for what follows
}

}  // namespace repl::change
