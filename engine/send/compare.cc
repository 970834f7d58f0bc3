#include "engine/send/compare.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"
#include "engine/model/hash.h"

namespace repl::send {

Comparer::Comparer(const Index& index, uint64_t seed, std::function<void(Message)> ask,
                   std::function<void(Candidate)> found)
    : index_(index), seed_(seed), ask_(std::move(ask)), found_(std::move(found)) {}

void Comparer::start() {
  started_ = true;
  root_asked_ = true;
  ask_(AskKeys{.keys = {root_key}});
}

Status Comparer::on_answer(const KeysAnswer& answer) {
  if (!root_asked_ || answer.infos.size() != 1 || answer.keys.size() != 1 ||
      !answer.keys[0].is_root()) {
    return breach("an answer to what was not asked");
  }
  root_asked_ = false;
  const KeyInfo& theirs = answer.infos[0];
  const auto content = index_.content_hash(root_key);
  const bool equal =
      content && *content == theirs.hash && index_.identity_hash(root_key) == theirs.identity;
  if (equal) return {};
  to_ask_.push_back(Task{.dir = root_dir, .key = root_key, .peer_hash = theirs.hash});
  return {};
}

bool Comparer::step() {
  if (!ours_only_.empty()) {
    Walk walk = std::move(ours_only_.front());
    ours_only_.pop_front();
    const auto children = index_.children_after(walk.dir, walk.cursor, children_per_read);
    if (children.size() == children_per_read) {
      ours_only_.push_front(Walk{.dir = walk.dir, .cursor = children.back().first});
    }
    for (const auto& [name, entry] : children) only_ours(walk.dir, name, entry);
    return true;
  }
  // An answer may be as large as a directory: half-empty windows are not refilled one by one.
  const bool room = asked_.size() + dirs_per_ask <= dirs_asked_max || asked_.empty();
  if (to_ask_.empty() || !room) {
    if (done()) flush_adoptions();
    return false;
  }
  flush_adoptions();
  ListDirectories message;
  while (!to_ask_.empty() && message.dirs.size() < dirs_per_ask) {
    message.dirs.push_back(to_ask_.front().dir);
    asked_.push_back(std::move(to_ask_.front()));
    to_ask_.pop_front();
  }
  ask_(std::move(message));
  return true;
}

Status Comparer::on_listing(const DirectoryListing& listing) {
  if (asked_.empty() || asked_.front().dir != listing.dir) return breach("a listing not asked for");
  if (!listing.known) {
    if (!listing.children.empty() || !listing.last || asked_.front().begun) {
      return breach("a listing of an unknown directory");
    }
    Task task = std::move(asked_.front());
    asked_.pop_front();
    unknown_to_peer(std::move(task));
    return {};
  }
  Task& task = asked_.front();
  if (!task.begun) {
    task.begun = true;
    // The peer knows the id, but not at this place: it is moved, with all it holds.
    if (task.kind != Task::Kind::same) found_(Candidate{.key = task.key, .dir = task.dir});
  }
  if (Status merged = merge(task, listing.children); !merged) return merged;
  if (!listing.last) return {};
  const Task ended = std::move(task);
  asked_.pop_front();
  listing_ended(ended);
  return {};
}

void Comparer::unknown_to_peer(Task task) {
  if (task.kind == Task::Kind::other_id) {
    adopt(task.key, task.dir, LinkId{});
    task.kind = Task::Kind::same;
    to_ask_.push_front(std::move(task));
    return;
  }
  found_(Candidate{.key = task.key, .dir = task.dir});
  ours_only_.push_back(Walk{.dir = task.dir});
}

// What of ours lies beyond the peer's last name is walked after its last part.
Status Comparer::merge(Task& task, const std::vector<KeyInfo>& children) {
  const ListingMerge::Found found{
      .only_ours = [&](std::string_view name,
                       const Entry& ours) { only_ours(task.dir, name, ours); },
      .both = [&](const Entry& ours, const KeyInfo& theirs) { both(task.dir, ours, theirs); },
      .only_theirs = [&](const KeyInfo& theirs) { only_theirs(task.dir, theirs); }};
  return task.listing.part(index_, task.dir, children, found);
}

void Comparer::listing_ended(const Task& task) {
  ours_only_.push_back(Walk{.dir = task.dir, .cursor = task.listing.cursor()});
  if (task.kind != Task::Kind::same) return;  // its record leaves anyway
  const std::optional<Entry> entry = index_.get(task.key);
  if (!entry) return;
  // With the peer's own children under our attributes: equal means that only children differ.
  const Bits128 with_ours =
      entry_content_hash(seed_, task.key.name, entry->attr, task.listing.peer_sum());
  if (with_ours != task.peer_hash) found_(Candidate{.key = task.key, .dir = task.dir});
}

void Comparer::only_ours(DirId dir, std::string_view name, const Entry& entry) {
  Key key{.dir = dir, .name = std::string(name)};
  if (entry.attr.type == FileType::directory) {
    to_ask_.push_back(
        Task{.kind = Task::Kind::maybe_elsewhere, .dir = entry.attr.dir, .key = std::move(key)});
  } else {
    found_(Candidate{.key = std::move(key)});
  }
}

void Comparer::only_theirs(DirId dir, const KeyInfo& theirs) {
  const bool lives_elsewhere = theirs.dir.is_set() && index_.place_of(theirs.dir).has_value();
  found_(Candidate{.key = Key{.dir = dir, .name = theirs.name},
                   .removed = true,
                   .dir = lives_elsewhere ? theirs.dir : DirId{}});
}

void Comparer::both(DirId dir, const Entry& ours, const KeyInfo& theirs) {
  Key key{.dir = dir, .name = theirs.name};
  if (ours.attr.type == FileType::directory) return both_directories(key, ours, theirs);
  if (index_.content_hash(key) == theirs.hash) {
    if (index_.identity_hash(key) == theirs.identity) return;
    if (ours.attr.link.is_set()) return adopt(std::move(key), DirId{}, ours.attr.link);
  }
  found_(Candidate{.key = std::move(key),
                   .peer_type = theirs.type,
                   .peer_content = theirs.content,
                   .peer_size = theirs.size});
}

void Comparer::both_directories(const Key& key, const Entry& ours, const KeyInfo& theirs) {
  Task task{.dir = ours.attr.dir, .key = key, .peer_hash = theirs.hash};
  if (theirs.type != FileType::directory) {
    task.kind = Task::Kind::maybe_elsewhere;
  } else if (theirs.dir != ours.attr.dir) {
    const bool lives_with_us = theirs.dir == root_dir || index_.place_of(theirs.dir).has_value();
    task.kind = lives_with_us ? Task::Kind::maybe_elsewhere : Task::Kind::other_id;
  } else if (index_.content_hash(key) == theirs.hash &&
             index_.identity_hash(key) == theirs.identity) {
    return;
  }
  to_ask_.push_back(std::move(task));
}

void Comparer::adopt(Key key, DirId dir, LinkId link) {
  adoptions_.items.push_back({.key = std::move(key), .dir = dir, .link = link});
  if (adoptions_.items.size() >= limits::keys_per_ask_max) flush_adoptions();
}

void Comparer::flush_adoptions() {
  if (!adoptions_.items.empty()) ask_(std::exchange(adoptions_, AdoptIds{}));
}

}  // namespace repl::send
