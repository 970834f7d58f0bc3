// diverged_store.h: where the versions go that lose when a node that was primary catches up with
// another. They are in the store, durably, before anything replaces them.
//
//   diverged/<id>/manifest      what is kept, and why (diverged_manifest.h)
//   diverged/<id>/objects/<n>   item n: a hard link of the object itself, or a copy where no link
//                               can be made
//   diverged/<id>/objects/<n>+  a copy that is not complete; goes when the store is next opened
//
// in the staging area; <id> is YYYYMMDDTHHMMSSZ, with "-2", "-3" where taken. "<id>+" is a store
// on its way out.
//
// The order of a catch-up: begin, keep and note_removed for each key that is to be replaced, sync,
// replace, settle. As long as a kept object is a link of what the tree shows, a write through the
// tree changes the kept version too: which is right, it is the version of this side. It has more
// than one name now, so that apply neither appends to it nor patches it in place; what it changes
// in place is attributes, and those are in the manifest. settle takes apart what the tree still
// shows.
//
// Thread: one owner. A lock (flock(2)) on the store's directory keeps a second writer out, of
// another process or of this one. Errors: what the filesystem said; `timeout` with Remedy::retry
// while somebody else has the store; no item is ever half in the manifest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "engine/apply/diverged_manifest.h"
#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/io/fs_ops.h"

namespace repl::apply::diverged {

// What an item is of.
struct Subject {
  Change change = Change::changed;
  Key key;
  std::string path;  // bytes, not escaped
  // What stat does not say: digest, directory id, link group, names of owners. May be null. Of
  // another type than the object it is not used, its digest only if size and mtime are the same.
  const Attributes* known = nullptr;
};

// Of a kept object, after the catch-up.
enum class Shown : uint8_t {
  replaced,    // the tree shows something else, or nothing
  same,        // the tree shows that very inode, nothing of it was replaced
  attributes,  // the tree shows that very inode with other attributes
};
// `item.inode` is 0 for what was deleted here: `same` then says that it is still gone.
using Shows = std::function<Result<Shown>(const Item& item)>;

struct Settled {
  uint64_t items = 0;    // that stay
  uint64_t dropped = 0;  // the tree still has them
  // Their file has another name outside of the store, and there was no room for a copy: a write
  // through that name changes the kept version.
  uint64_t shared = 0;
};

class Store {
 public:
  // A new store; or an unfinished one of the same peer and common position, which goes on: what it
  // has is not kept twice. `area` is the staging area.
  [[nodiscard]] static Result<std::unique_ptr<Store>> begin(int area, const About& about);
  // One that is there, finished or not, to restore from and to discard. not_found without it.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(int area, const std::string& id);

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] bool resumed() const { return resumed_; }

  // Puts what stands at (dir, name) into the store; a directory as a record only. Returns what
  // statx(2) says of the object afterwards: a link changed its ctime and nlink, which the index
  // must learn (for every name of the file: of two that are kept, the second is the last word).
  // Not durable before sync.
  [[nodiscard]] Result<io::Stat> keep(const Subject& subject, int dir, std::string_view name);
  // The same for a directory that is open (the root has no name).
  [[nodiscard]] Result<io::Stat> keep_directory(const Subject& subject, int fd);
  // The other side brings back what was removed here. `known`: what it was.
  [[nodiscard]] Status note_removed(const Subject& subject);
  // Everything so far is on disk, the contents of linked files too.
  [[nodiscard]] Status sync();
  // After the catch-up, when its last cut is durable and what that displaced has left the staging
  // area (a displaced version that is still there counts as another name of its file). The store is
  // finished, durably; an empty one is gone. On an error it is not finished and settle may be
  // called again.
  [[nodiscard]] Result<Settled> settle(const Shows& shows);

  // Removes these items, durably; the last one takes the store with it. No other call may follow
  // then (gone()).
  [[nodiscard]] Status discard(const std::vector<uint64_t>& numbers);
  [[nodiscard]] Status discard_all();
  [[nodiscard]] bool gone() const { return gone_; }

  // --- for restoring (diverged_restore.h) ---
  [[nodiscard]] int objects() const { return objects_.get(); }
  // For an object that is moved into the store, and its record once it is there (durable).
  [[nodiscard]] uint64_t fresh_number() { return manifest_.next_number++; }
  [[nodiscard]] Status record_moved(Item item);

 private:
  explicit Store(std::string id) : id_(std::move(id)) {}
  static Result<std::unique_ptr<Store>> open_locked(Fd stores, const std::string& id);
  static Result<std::unique_ptr<Store>> make(Fd stores, const About& about);
  Status lock();
  Status open_parts();
  Status clear_leftovers();
  Status append(const std::vector<std::string>& records);
  Status record(Item item);
  [[nodiscard]] const Item* earlier(const Subject& subject, uint64_t inode) const;
  Result<io::Stat> keep_object(Item item, bool linked_before, int dir, std::string_view name,
                               const Attributes* known);
  Status take_copy(const Item& item, int dir, std::string_view name);
  Status forget(const std::unordered_set<uint64_t>& numbers);
  Status remove_objects(const std::vector<uint64_t>& numbers);
  Status drop_unnamed_links();
  Status part_from_tree(Settled& settled);
  Status remove_if_empty();
  Status remove_store();
  std::string id_;
  Fd stores_, dir_, objects_, file_;
  Manifest manifest_;
  std::unordered_map<Key, std::vector<uint64_t>> by_key_;
  bool resumed_ = false;
  bool gone_ = false;
};

}  // namespace repl::apply::diverged
