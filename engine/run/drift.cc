#include "engine/run/drift.h"

#include <utility>

#include "engine/apply/compare.h"

namespace repl::run {

namespace {
constexpr std::string_view alone_meta = "drift-alone";
}  // namespace

void DriftCheck::primary_is_there(bool there) {
  alone_ = !there;
  if (there && parts_.index->meta(alone_meta)) parts_.index->remove_meta(alone_meta);
}

bool DriftCheck::found_alone() const { return parts_.index->meta(alone_meta).has_value(); }

void DriftCheck::hold(const Key& key, std::string reason) {
  if (holds_.all().contains(key)) return;
  parts_.log.warn("{}: {}: {}", parts_.describe(key), reason,
                  parts_.options.repair_drift
                      ? "it is kept, and the primary's version takes its place"
                      : "held until the primary's version is approved or the same is here");
  apply::Hold hold;
  hold.key = key;
  hold.reason = std::move(reason);
  if (const std::optional<Entry> entry = parts_.index->get(key)) {
    hold.wanted = entry->attr;
  } else {
    hold.wants_removal = true;
  }
  holds_.set(std::move(hold));
  if (alone_ && !found_alone()) parts_.index->put_meta(alone_meta, "1");
}

bool DriftCheck::quick_same(const Entry& entry, const io::Stat& stat) {
  return change::same_stat(entry, stat) && stat.attr.mode == entry.attr.mode &&
         stat.attr.uid == entry.attr.uid && stat.attr.gid == entry.attr.gid;
}

DirId DriftCheck::check_scanned(const Key& key, const io::Stat& seen) {
  const std::optional<Entry> entry = parts_.index->get(key);
  if (!entry || !quick_same(*entry, seen)) return look(key);
  release(key, entry->attr);
  return entry->attr.type == FileType::directory ? entry->attr.dir : DirId{};
}

// It is as the index says. What a hold wants beyond that only the primary can send:
// Applier::recheck_holds().
void DriftCheck::release(const Key& key, const Attributes& recorded) {
  const auto at = holds_.all().find(key);
  if (at != holds_.all().end() && !at->second.wants_removal && at->second.wanted == recorded)
    holds_.clear(key);
}

DirId DriftCheck::check(const Key& key, int dir_fd, const io::Stat& stat) {
  const bool directory = stat.attr.type == FileType::directory;
  const Membership member = observer_.membership(key, directory);
  const bool covered = parts_.root_mount != 0 && stat.mount != parts_.root_mount;
  if (member == Membership::excluded || (member == Membership::transit && !directory) || covered)
    return {};
  const std::optional<Entry> entry = parts_.index->get(key);
  if (!entry) {
    if (member == Membership::included) hold(key, "it was made here, not by the primary");
    return {};
  }
  const DirId below =
      entry->attr.type == FileType::directory && directory ? entry->attr.dir : DirId{};
  if (quick_same(*entry, stat)) {
    release(key, entry->attr);
    return below;
  }
  const Result<std::string_view> difference =
      entry->attr.transit ? Result<std::string_view>(directory ? "" : "type")
                          : apply::object_difference(dir_fd, key.name, stat, entry->attr);
  if (difference && difference->empty()) {
    LocalStat local = stat.local;
    local.handle = entry->local.handle;
    parts_.index->put_local(key, local);
    release(key, entry->attr);
  } else if (difference) {
    hold(key, "it was changed here (" + std::string(*difference) + ")");
  }
  return below;
}

void DriftCheck::check_missing(const Key& key) {
  if (parts_.index->contains(key)) {
    hold(key, "it was removed here");
  } else if (const auto at = holds_.all().find(key);
             at != holds_.all().end() && at->second.wants_removal) {
    holds_.clear(key);
  }
}

DirId DriftCheck::look(const Key& key) {
  // RACE: a cut may have removed the directory since its name was heard of; what a descriptor that
  // is still cached leads to is ours, in staging.
  if (key.is_root() || !parts_.index->summary(key.dir)) return {};
  const Result<int> dir = parts_.dirs->open(key.dir);
  if (!dir) return {};  // the directory's own key says why
  const Result<io::Stat> stat = io::stat_at(*dir, key.name);
  if (stat) return check(key, *dir, *stat);
  if (stat.error().code == ErrorCode::not_found) check_missing(key);
  return {};
}

DriftScan::DriftScan(TreeParts& parts, DriftCheck& check, std::function<void()> wake)
    : check_(check), scan_(parts, *this, false, std::move(wake)) {}

DirId DriftScan::child(const Key& key, int, scan::Child& child) {
  return check_.check_scanned(key, child.stat);
}

// RACE: a cut may have made it since the directory was listed.
void DriftScan::missing(const Key& key) { check_.look(key); }

void DriftScan::unreadable(DirId, const Error& error) { troubles_.push_back(error.message); }

void DriftScan::unreadable_child(const Key&, const Error& error) {
  troubles_.push_back(error.message);
}

void DriftScan::unwatched(DirId, const Error& error) {
  if (troubles_.size() < 8) troubles_.push_back(error.message);
}

}  // namespace repl::run
