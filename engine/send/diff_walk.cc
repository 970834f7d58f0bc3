#include "engine/send/diff_walk.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"
#include "engine/model/hash.h"

namespace repl::send {

DiffWalk::PeerDir::PeerDir(std::shared_ptr<const PeerDir> parent, Key at, DirId id)
    : above(std::move(parent)), key(std::move(at)), dir(id), depth(above ? above->depth + 1 : 0) {}

// Not by recursion: the tree may be limits::index_depth_max deep.
DiffWalk::PeerDir::~PeerDir() {
  std::shared_ptr<const PeerDir> next = std::move(above);
  while (next && next.use_count() == 1) {
    std::shared_ptr<const PeerDir> higher = std::move(next->above);
    next = std::move(higher);
  }
}

std::string DiffWalk::PeerDir::path_of(std::string_view name) const {
  std::vector<std::string_view> names{name};
  for (const PeerDir* at = this; at->above; at = at->above.get()) names.push_back(at->key.name);
  std::string path;
  for (auto part = names.rbegin(); part != names.rend(); ++part) {
    if (!path.empty()) path += '/';
    path += *part;
  }
  return path;
}

DiffWalk::DiffWalk(const Index& index, uint64_t seed, std::function<void(Message)> ask,
                   std::function<void(DiffItem)> found, const DiffLimits& limits)
    : index_(index),
      seed_(seed),
      ask_(std::move(ask)),
      limits_(limits),
      report_(std::move(found), limits) {}

void DiffWalk::start() {
  started_ = true;
  root_asked_ = true;
  ask_(AskKeys{.keys = {root_key}});
}

bool DiffWalk::done() const {
  return started_ && !root_asked_ && asked_.empty() && to_ask_.empty() && walks_.empty() &&
         suspects_.empty() && suspects_asked_.empty() && here_only_.empty() && peer_only_.empty();
}

Status DiffWalk::on_answer(const KeysAnswer& answer) {
  if (answer.keys.size() != answer.infos.size()) return breach("an answer that is incomplete");
  if (root_asked_) {
    if (answer.keys.size() != 1 || !answer.keys[0].is_root())
      return breach("an answer to what was not asked");
    root_asked_ = false;
    return on_root(answer.infos[0]);
  }
  const bool asked =
      !suspects_asked_.empty() &&
      std::ranges::equal(answer.keys, suspects_asked_, {}, {},
                         [](const Suspect& suspect) -> const Key& { return suspect.peer->key; });
  if (!asked) return breach("an answer to what was not asked");
  for (size_t i = 0; i < suspects_asked_.size(); ++i) {
    on_suspect(suspects_asked_[i], answer.infos[i]);
  }
  suspects_asked_.clear();
  return {};
}

// A side that was never scanned has no record of the root.
Status DiffWalk::on_root(const KeyInfo& theirs) {
  const bool there = theirs.type == FileType::directory;
  if (!there && theirs.type != FileType::none) return breach("a root that is no directory");
  if (there && index_.content_hash(root_key) == theirs.hash) return {};
  to_ask_.push_back(Task{.ours = root_dir,
                         .peer = std::make_shared<const PeerDir>(nullptr, root_key, root_dir),
                         .peer_hash = there ? theirs.hash : Bits128{}});
  return {};
}

void DiffWalk::on_suspect(const Suspect& suspect, const KeyInfo& theirs) {
  const bool same = theirs.type == FileType::directory && theirs.dir == suspect.peer->dir &&
                    theirs.hash == suspect.peer_hash;
  const std::optional<Key> key = key_of(suspect.ours);
  if (!same || !key) return report_.add_changed_meanwhile();
  if (attributes_differ(suspect)) add_here(DiffChange::attributes, *key, FileType::directory, 0);
}

bool DiffWalk::step() {
  if (!walks_.empty()) {
    walk_on();
    return true;
  }
  if (ask_suspects() || ask_listings()) return true;
  const bool waiting = root_asked_ || !asked_.empty() || !suspects_asked_.empty();
  if (waiting || !to_ask_.empty()) return false;
  if (!here_only_.empty()) {
    const DirId dir = here_only_.back();
    here_only_.pop_back();
    only_here(dir);
    return true;
  }
  if (peer_only_.empty()) return false;
  auto alone = peer_only_.extract(peer_only_.begin());
  only_peer(std::move(alone.mapped()));
  return true;
}

void DiffWalk::walk_on() {
  Walk walk = std::move(walks_.back());
  walks_.pop_back();
  if (!key_of(walk.dir)) return report_.add_changed_meanwhile();
  const auto children = index_.children_after(walk.dir, walk.cursor, children_per_read);
  if (children.size() == children_per_read) {
    walks_.push_back(Walk{.dir = walk.dir, .cursor = children.back().first});
  }
  for (const auto& [name, entry] : children) our_child(walk.dir, name, entry);
}

bool DiffWalk::ask_suspects() {
  if (root_asked_ || suspects_.empty() || !suspects_asked_.empty()) return false;
  const size_t count = std::min(suspects_.size(), limits::keys_per_ask_max);
  const auto from = suspects_.end() - static_cast<ptrdiff_t>(count);
  suspects_asked_.assign(std::make_move_iterator(from), std::make_move_iterator(suspects_.end()));
  suspects_.erase(from, suspects_.end());
  AskKeys message;
  for (const Suspect& suspect : suspects_asked_) message.keys.push_back(suspect.peer->key);
  ask_(std::move(message));
  return true;
}

// An answer may be as large as a directory: half-empty windows are not refilled one by one.
bool DiffWalk::ask_listings() {
  const bool room = asked_.size() + dirs_per_ask <= dirs_asked_max || asked_.empty();
  if (to_ask_.empty() || !room || suspects_.size() >= limits::keys_per_ask_max) return false;
  ListDirectories message;
  while (!to_ask_.empty() && message.dirs.size() < dirs_per_ask) {
    message.dirs.push_back(to_ask_.front().peer->dir);
    asked_.push_back(std::move(to_ask_.front()));
    to_ask_.pop_front();
  }
  ask_(std::move(message));
  return true;
}

Status DiffWalk::on_listing(const DirectoryListing& listing) {
  if (asked_.empty() || asked_.front().peer->dir != listing.dir)
    return breach("a listing not asked for");
  Task& task = asked_.front();
  if (!listing.known) {
    if (!listing.children.empty() || !listing.last || task.begun)
      return breach("a listing of an unknown directory");
    report_.add_changed_meanwhile();
    asked_.pop_front();
    return {};
  }
  task.begun = true;
  if (Status checked = check(task, listing); !checked) return checked;
  if (task.ours.is_set() && !task.gone && !key_of(task.ours)) {
    task.gone = true;
    report_.add_changed_meanwhile();
  }
  if (!task.gone) {
    if (Status merged = merge(task, listing.children); !merged) return merged;
  }
  if (!listing.last) return {};
  const Task ended = std::move(task);
  asked_.pop_front();
  listing_ended(ended);
  return {};
}

Status DiffWalk::check(const Task& task, const DirectoryListing& listing) {
  if (listing.children.empty() && !listing.last) return breach("an empty part of a listing");
  entries_ += listing.children.size();
  if (entries_ > limits_.entries || to_ask_.size() + peer_only_.size() > limits_.dirs) {
    return fail(ErrorCode::limit,
                "compare with the peer: its tree has more entries than a diff can look at; compare "
                "with `repl verify`");
  }
  for (const KeyInfo& child : listing.children) {
    if (child.type == FileType::none) return breach("a listing of what is not there");
    if (child.type != FileType::directory) continue;
    if (!child.dir.is_set() || child.dir == root_dir) return breach("an illegal directory id");
    if (task.peer->depth >= limits::index_depth_max) return breach("a tree that is too deep");
  }
  return {};
}

Status DiffWalk::merge(Task& task, const std::vector<KeyInfo>& children) {
  const ListingMerge::Found found{
      .only_ours = [&](std::string_view name,
                       const Entry& ours) { our_child(task.ours, name, ours); },
      .both = [&](const Entry& ours,
                  const KeyInfo& theirs) { both(task.ours, task.peer, ours, theirs); },
      .only_theirs = [&](const KeyInfo& theirs) { their_child(task.peer, theirs); }};
  return task.listing.part(index_, task.ours, children, found);
}

void DiffWalk::listing_ended(const Task& task) {
  if (!task.ours.is_set() || task.gone) return;
  walks_.push_back(Walk{.dir = task.ours, .cursor = task.listing.cursor()});
  Suspect suspect{.ours = task.ours,
                  .peer = task.peer,
                  .peer_hash = task.peer_hash,
                  .peer_sum = task.listing.peer_sum()};
  if (task.peer_hash.is_set() && attributes_differ(suspect)) {
    suspects_.push_back(std::move(suspect));
  }
}

void DiffWalk::our_child(DirId dir, std::string_view name, const Entry& ours) {
  if (ours.attr.type == FileType::directory) return here_only_.push_back(ours.attr.dir);
  add_here(DiffChange::only_here, Key{.dir = dir, .name = std::string(name)}, ours.attr.type,
           ours.attr.size);
}

void DiffWalk::only_here(DirId dir) {
  const std::optional<Key> key = key_of(dir);
  const std::optional<Entry> entry = key ? index_.get(*key) : std::nullopt;
  if (!entry) return report_.add_changed_meanwhile();
  if (const auto there = peer_only_.extract(dir)) return moved(dir, *key, *entry, there.mapped());
  add_here(DiffChange::only_here, *key, FileType::directory, 0);
  walks_.push_back(Walk{.dir = dir});
}

void DiffWalk::moved(DirId dir, const Key& key, const Entry& entry, const PeerOnly& there) {
  report_.add(DiffItem{.change = DiffChange::moved, .type = FileType::directory, .key = key},
              [&](DiffItem& item) {
                item.path = index_.path_of(key).value_or(key.name);
                item.peer_path = there.place->above->path_of(there.place->key.name);
              });
  // A hash is also of the name, which is another there.
  const Fingerprint children = index_.summary(dir).value_or(DirSummary{}).content;
  if (entry_content_hash(seed_, there.place->key.name, entry.attr, children) == there.hash) return;
  to_ask_.push_front(Task{.ours = dir, .peer = there.place, .peer_hash = there.hash});
}

void DiffWalk::their_child(const PeerPlace& parent, const KeyInfo& theirs) {
  if (theirs.type != FileType::directory) {
    const uint64_t bytes = theirs.type == FileType::regular ? theirs.size : 0;
    return add_peer(*parent, Key{.dir = parent->dir, .name = theirs.name}, theirs.type, bytes);
  }
  PeerOnly alone{.place = below(parent, theirs), .hash = theirs.hash};
  const bool lives_here = index_.place_of(theirs.dir).has_value();
  if (!lives_here || peer_only_.contains(theirs.dir)) return only_peer(std::move(alone));
  peer_only_.emplace(theirs.dir, std::move(alone));
}

void DiffWalk::only_peer(PeerOnly alone) {
  add_peer(*alone.place->above, alone.place->key, FileType::directory, 0);
  to_ask_.push_front(Task{.peer = std::move(alone.place)});
}

void DiffWalk::both(DirId dir, const PeerPlace& parent, const Entry& ours, const KeyInfo& theirs) {
  const Key key{.dir = dir, .name = theirs.name};
  const uint64_t bytes = theirs.type == FileType::regular ? theirs.size : 0;
  if (ours.attr.type != theirs.type) {
    add_here(DiffChange::type, key, theirs.type, bytes);
    if (ours.attr.type == FileType::directory) walks_.push_back(Walk{.dir = ours.attr.dir});
    if (theirs.type == FileType::directory) to_ask_.push_front(Task{.peer = below(parent, theirs)});
    return;
  }
  if (index_.content_hash(key) == theirs.hash) return;
  if (theirs.type == FileType::directory) {
    to_ask_.push_front(
        Task{.ours = ours.attr.dir, .peer = below(parent, theirs), .peer_hash = theirs.hash});
    return;
  }
  add_here(file_change(ours.attr, theirs), key, theirs.type, bytes);
}

// Of two files whose hashes differ.
DiffChange DiffWalk::file_change(const Attributes& ours, const KeyInfo& theirs) {
  if (theirs.type != FileType::regular) return DiffChange::attributes;
  if (ours.size != theirs.size) return DiffChange::content;
  if (ours.content.is_set() && theirs.content.is_set()) {
    return ours.content == theirs.content ? DiffChange::attributes : DiffChange::content;
  }
  report_.add_unknown();
  return DiffChange::content;
}

DiffWalk::PeerPlace DiffWalk::below(const PeerPlace& parent, const KeyInfo& theirs) const {
  return std::make_shared<const PeerDir>(parent, Key{.dir = parent->dir, .name = theirs.name},
                                         theirs.dir);
}

void DiffWalk::add_here(DiffChange change, const Key& key, FileType type, uint64_t bytes) {
  report_.add(DiffItem{.change = change, .type = type, .bytes = bytes, .key = key},
              [&](DiffItem& item) { item.path = index_.path_of(key).value_or(key.name); });
}

void DiffWalk::add_peer(const PeerDir& parent, const Key& key, FileType type, uint64_t bytes) {
  report_.add(DiffItem{.change = DiffChange::only_peer, .type = type, .bytes = bytes, .key = key},
              [&](DiffItem& item) { item.path = parent.path_of(key.name); });
}

// Nothing: it has no place in the tree any more.
std::optional<Key> DiffWalk::key_of(DirId dir) const {
  if (dir == root_dir) return root_key;
  const auto place = index_.place_of(dir);
  if (!place) return std::nullopt;
  return Key{.dir = place->parent, .name = place->name};
}

// With the peer's own children under our attributes: equal means that only children differ.
bool DiffWalk::attributes_differ(const Suspect& suspect) const {
  const std::optional<Key> key = key_of(suspect.ours);
  const std::optional<Entry> entry = key ? index_.get(*key) : std::nullopt;
  return entry && entry_content_hash(seed_, suspect.peer->key.name, entry->attr,
                                     suspect.peer_sum) != suspect.peer_hash;
}

}  // namespace repl::send
