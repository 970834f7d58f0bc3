#include "engine/apply/applier.h"

#include <fmt/core.h>

#include "engine/apply/broken.h"
#include "engine/apply/compare.h"
#include "engine/apply/publisher.h"
#include "engine/model/filter.h"

namespace repl::apply {

namespace {

Status as_retry(Status status) {
  if (!status && concerns_everything(status.error())) return fail(tried_again(status.error()));
  return status;
}

}  // namespace

Result<std::unique_ptr<Applier>> Applier::make(Fd root, Staging& staging, Index& index,
                                               const Policy& policy, OnDrift on_drift, Log& log) {
  return std::unique_ptr<Applier>(
      new Applier(std::move(root), staging, index, policy, on_drift, log));
}

Applier::Applier(Fd root, Staging& staging, Index& index, const Policy& policy, OnDrift on_drift,
                 Log& log)
    : staging_(staging),
      index_(index),
      policy_(policy),
      dirs_(std::move(root), index),
      staged_(staging),
      holds_(index),
      second_(staging),
      contents_(std::make_unique<ContentBuilder>(staging, second_, index, dirs_)),
      shop_{.staging = staging,
            .second = second_,
            .index = index,
            .dirs = dirs_,
            .staged = staged_,
            .holds = holds_,
            .policy = policy,
            .log = log,
            .on_drift = on_drift,
            .cut = cut_,
            .work = work_} {
  work_.filesystem = staging.filesystem();
}

Status Applier::begin(const CutBegin& begin) {
  if (cut_.open) return broken("a cut began within a cut");
  cut_ = CutState{};
  cut_.begin = begin;
  cut_.open = true;
  shop_.refused.clear();
  shop_.notices.clear();
  shop_.kept = 0;
  owners_.next_cut();
  dirs_.next_generation();
  return {};
}

Status Applier::put(Put put) {
  if (!cut_.open) return broken("a record outside a cut");
  if (const Status legal = check_put(put); !legal) return legal;
  if (++cut_.records > limits::cut_records_max) return broken("too many records in one cut");
  const size_t number = cut_.items.size();
  if (!cut_.puts.emplace(put.key, number).second || cut_.removed.contains(put.key)) {
    return broken("two records of one key");
  }
  if (put.attr.type == FileType::directory && !cut_.dirs.emplace(put.attr.dir, number).second) {
    return broken("one directory in two places");
  }
  Item& item = cut_.items.emplace_back();
  item.key = std::move(put.key);
  item.attr = std::move(put.attr);
  owners_.map(item.attr);
  if (const Status known = check_key(item.key, item.attr.type == FileType::directory); !known)
    return known;
  if (!knows_parent(item.key)) {
    // The primary's picture of this tree is not right: it sends the directories above along next.
    cut_.dirs.erase(item.attr.dir);
    shop_.resend(item, "its directory is not known here");
    return {};
  }
  const bool below_held = cut_.held_dirs.contains(item.key.dir) || holds_.holds_dir(item.key.dir);
  if (below_held && !index_.place_of(item.key.dir) && !staged_.contains(item.key.dir)) {
    shop_.hold(item, "its directory is held");
    return {};
  }
  const Status prepared = prepare(item, std::move(put.content));
  return prepared ? prepared : item_failed(item, prepared.error());
}

Status Applier::remove(const Remove& remove) {
  if (!cut_.open) return broken("a record outside a cut");
  if (remove.key.is_root()) return broken("the root was to be removed");
  if (!is_legal_name(remove.key.name) || !remove.key.dir.is_set()) return broken("an illegal name");
  if (++cut_.records > limits::cut_records_max) return broken("too many records in one cut");
  if (cut_.puts.contains(remove.key) || !cut_.removed.insert(remove.key).second) {
    return broken("two records of one key");
  }
  Remove taken = remove;
  if (!policy_.filter.includes_everything()) {
    const std::optional<Entry> entry = index_.get(remove.key);
    const std::optional<std::string> path = index_.path_of(remove.key);
    const bool is_dir = entry && entry->attr.type == FileType::directory;
    // A rule was added since it was recorded: it leaves the tree, and what is on disk stays.
    if (entry && path && policy_.filter.membership_of_path(*path, is_dir) == Membership::excluded)
      taken.disown = true;
  }
  cut_.removes.push_back(std::move(taken));
  return {};
}

// A refusal of the filesystem that concerns one key holds that key; a full disk ends the cut.
Status Applier::item_failed(Item& item, const Error& error) {
  if (error.code == ErrorCode::protocol) return fail(error);
  make_room(error);
  if (concerns_everything(error)) return as_retry(fail(error));
  shop_.hold(item, error.message);
  return {};
}

Status Applier::check_put(const Put& put) const {
  const Attributes& attr = put.attr;
  const bool is_dir = attr.type == FileType::directory;
  if (attr.type == FileType::none || attr.type > FileType::block_device)
    return broken("no such type");
  if (put.key.is_root()) {
    if (!is_dir || attr.dir != root_dir) return broken("the root was to be something else");
  } else {
    if (!is_legal_name(put.key.name) || !put.key.dir.is_set()) return broken("an illegal name");
    if (is_dir && (attr.dir.value <= root_dir.value || attr.dir.value >= reserved_dir_ids_first)) {
      return broken("an illegal directory id");
    }
  }
  if (!is_dir && attr.dir.is_set()) return broken("a directory id on something else");
  if (is_dir && put.key.dir == attr.dir) return broken("a directory within itself");
  if (attr.mode > 07777 || attr.mtime.nanoseconds > 999'999'999)
    return broken("an illegal attribute");
  if (attr.xattrs.size() > limits::xattrs_bytes_max) return broken("too many extended attributes");
  const bool is_link = attr.type == FileType::symlink;
  const bool target_legal = is_link ? !attr.target.empty() &&
                                          attr.target.size() <= limits::symlink_target_bytes_max &&
                                          attr.target.find('\0') == std::string::npos
                                    : attr.target.empty();
  if (!target_legal) return broken("an illegal symlink target");
  if (attr.type == FileType::regular) {
    if (attr.size > limits::content_bytes_max) return broken("a file is too long");
  } else if (attr.size != 0 || attr.content.is_set()) {
    return broken("a content on something without");
  }
  const bool plain = std::holds_alternative<ContentNone>(put.content);
  const bool linked = std::holds_alternative<ContentLink>(put.content);
  if (!plain && attr.type != FileType::regular && !(linked && !is_dir)) {
    return broken("a content on something without");
  }
  const auto* inlined = std::get_if<ContentInline>(&put.content);
  if (inlined != nullptr &&
      (inlined->bytes.size() > limits::inline_bytes_max || inlined->bytes.size() != attr.size)) {
    return broken("a file's size is not what was sent");
  }
  return {};
}

Status Applier::check_key(const Key& key, bool is_directory) const {
  if (key.is_root()) return {};
  if (policy_.filter.includes_everything()) return {};
  const std::optional<std::string> path = final_path(key);
  if (path && policy_.filter.membership_of_path(*path, is_directory) == Membership::excluded) {
    return broken("a record of a path that the filter excludes");
  }
  return {};
}

bool Applier::knows_parent(const Key& key) const {
  return key.is_root() || key.dir == root_dir || cut_.dirs.contains(key.dir) ||
         index_.place_of(key.dir) || holds_.holds_dir(key.dir);
}

std::optional<Key> Applier::final_place(DirId dir) const {
  const auto put = cut_.dirs.find(dir);
  if (put != cut_.dirs.end()) return cut_.items[put->second].key;
  const auto place = index_.place_of(dir);
  if (!place) return std::nullopt;
  return Key{.dir = place->parent, .name = place->name};
}

std::optional<std::string> Applier::final_path(const Key& key) const {
  std::string path = key.name;
  DirId at = key.dir;
  for (size_t depth = 0; at != root_dir; ++depth) {
    const std::optional<Key> place = final_place(at);
    if (!place || depth > limits::directory_depth_max) return std::nullopt;
    path.insert(0, place->name + "/");
    at = place->dir;
  }
  return path;
}

// Every directory of the cut must lead up to the root when all of them are in their places.
Status Applier::check_no_cycle() const {
  std::unordered_set<DirId> sound = {root_dir};
  for (const auto& [dir, number] : cut_.dirs) {
    if (cut_.items[number].dropped) continue;
    std::vector<DirId> climbed;
    DirId at = dir;
    while (!sound.contains(at)) {
      climbed.push_back(at);
      if (climbed.size() > limits::directory_depth_max) return broken("a cycle of directories");
      const std::optional<Key> place = final_place(at);
      if (!place) break;  // below a held directory
      at = place->dir;
    }
    sound.insert(climbed.begin(), climbed.end());
  }
  return {};
}

Status Applier::check_end(const CutEnd& end) {
  if (!cut_.open || end.cut != cut_.begin.cut) return broken("the end of a cut that did not begin");
  if (end.records != cut_.records) return broken("a cut is not whole");
  if (cut_.whole) return {};
  if (const Status sound = check_no_cycle(); !sound) return fail(sound.error());
  for (const Item& item : cut_.items) {
    if (item.dropped || item.source != Source::stage) continue;
    const BuiltContent* built = contents_->find(item.stage);
    if (built == nullptr || built->state == StageState::open)
      return broken("a content did not end before its cut");
  }
  cut_.whole = true;
  return {};
}

Result<PublishResult> Applier::publish(const CutEnd& end, bool settled,
                                       const std::function<void(const Position&)>& store_position) {
  if (fault_) return fail(*fault_);
  if (const Status whole = check_end(end); !whole) return fail(whole.error());
  Publisher publisher(shop_, *contents_);
  // Not fit to be promoted until all of it is there: cleared below, or by the cut that arrives
  // again.
  const bool was_incomplete = index_.meta(incomplete_meta).has_value();
  if (settled) settle_owed();
  const Status done = publisher.run();
  if (!done) {
    make_room(done.error());
    if (publisher.left_detached()) {
      fault_ = done.error();
      fault_->remedy = Remedy::hold;
    }
    if (publisher.changed_tree()) {
      index_.put_meta(incomplete_meta, "1");
      index_.put_meta(consistency_meta, "partial");
    }
    work_pending_ = work_pending_ || publisher.changed_tree();
    abandon();
    return fail(as_retry(done).error());
  }
  const bool incomplete = !end.last || end.loose || !shop_.owed.empty();
  if (incomplete && !was_incomplete) index_.put_meta(incomplete_meta, "1");
  if (!incomplete && was_incomplete) index_.remove_meta(incomplete_meta);
  note_consistency(end);
  if (end.last) {
    if (!end.loose) drop_unused_stages();
    work_.ends = ++ends_;
    work_.position =
        Position{.epoch = cut_.begin.epoch, .reign = cut_.begin.reign, .cut = cut_.begin.cut};
    store_position(work_.position);
  }
  if (holds_.size() > 0) drop_lost_holds();
  work_pending_ = true;
  PublishResult result;
  result.published = publisher.published();
  result.adopted = publisher.adopted();
  result.kept = shop_.kept;
  result.refused = std::move(shop_.refused);
  result.notices = std::move(shop_.notices);
  discard_unused();
  return result;
}

void Applier::note_consistency(const CutEnd& end) {
  const std::string_view now = !end.last || !shop_.owed.empty() ? "partial"
                               : !end.ordered                   ? "unordered"
                               : end.loose                      ? "loose"
                                                                : "";
  const std::string was = index_.meta(consistency_meta).value_or("");
  if (now == was) return;
  if (now.empty())
    index_.remove_meta(consistency_meta);
  else
    index_.put_meta(consistency_meta, now);
}

// All but what this cut itself could not use.
void Applier::settle_owed() {
  shop_.owed.clear();
  for (const Refused& refused : shop_.refused) {
    if (!refused.hold) shop_.owed.insert(refused.key);
  }
}

void Applier::abandon() { discard_unused(); }

void Applier::end_session() {
  if (cut_.open) abandon();
  contents_->end_session();
  shop_.owed.clear();
}

// Contents whose source changed before they were whole, or whose record was refused: nobody goes on
// with them.
void Applier::drop_unused_stages() {
  const auto open = contents_->end_cut();
  if (!open) return;
  Result<std::vector<Slot>> aside = staging_.set_stages_aside(*open);
  if (!aside) return shop_.log.warn("apply: {}", aside.error().message);
  for (Slot& slot : *aside) work_.displaced.push_back(std::move(slot));
}

// What no record used goes with the displaced versions; removing it is the sync thread's work.
void Applier::discard_unused() {
  for (Item& item : cut_.items) {
    // A drifted destination or an ended connection: whatever is still in its slot is nobody's. But
    // a directory that was moved is the tree's.
    const bool ours = item.source != Source::in_place && item.source != Source::moved;
    if (item.slot.is_set() && ours) work_.displaced.push_back(item.slot);
  }
  let_second_copies_go();
  staged_.clear();
  cut_ = CutState{};
}

// What it was for arrives again.
void Applier::make_room(const Error& error) {
  if (error.code == ErrorCode::no_space && second_.drop_all())
    shop_.log.info("apply: the disk is full: second copies of large files were dropped");
}

void Applier::let_second_copies_go() {
  for (Slot& slot : second_.take_dropped()) work_.displaced.push_back(std::move(slot));
  work_pending_ = work_pending_ || !work_.displaced.empty();
}

std::optional<SyncWork> Applier::take_sync_work() {
  if (fault_) return std::nullopt;
  if (failed_work_) return std::exchange(failed_work_, std::nullopt);
  if (!work_pending_ || index_.commit_in_flight()) return std::nullopt;
  std::shared_ptr<Index::Batch> batch = index_.freeze();
  // Nothing is let go of while the index cannot be committed: a directory is detached.
  if (!batch && index_.pending() > 0) return std::nullopt;
  work_pending_ = false;
  SyncWork work = std::move(work_);
  work_ = SyncWork{};
  work_.filesystem = staging_.filesystem();
  work.batch = std::move(batch);
  return work;
}

void Applier::on_synced(SyncWork work, const Status& status) {
  if (!status && status.error().remedy == Remedy::hold) {
    fault_ = status.error();
    return;
  }
  if (!status) {
    make_room(status.error());
    failed_work_ = std::move(work);
    return;
  }
  if (work.batch) index_.committed(work.batch);
  second_.ready(work.second_copies);
  second_.drop_orphans(index_);
  let_second_copies_go();
  for (const uint64_t inode : work.relinked) refresh_inode(index_, dirs_, inode);
}

}  // namespace repl::apply
