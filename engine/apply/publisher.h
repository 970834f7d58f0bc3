// publisher.h: from the old cut to the new one.
//
// Order: late preparation (nothing is seen yet) · plan · every moved directory out · directories
// top-down · files and links · removals · attributes and times of directories · local records of
// link groups. Each step is compare-and-swap (applier.h, design §9) and tells the index at once, so
// that the walk to the next directory is always the tree's.
//
// Thread: one owner; lives for one cut.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "engine/apply/content_builder.h"
#include "engine/apply/remover.h"
#include "engine/apply/workshop.h"

namespace repl::apply {

class Publisher {
 public:
  Publisher(Workshop& shop, ContentBuilder& contents)
      : shop_(shop), contents_(contents), remover_(shop) {}

  [[nodiscard]] Status run();
  // After an error: was anything of the tree changed?
  [[nodiscard]] bool changed_tree() const { return changed_tree_; }
  // After an error: what was moved is in staging, and nowhere else; only recover() puts it back.
  [[nodiscard]] bool left_detached() const { return left_detached_; }
  [[nodiscard]] uint64_t published() const { return published_; }
  [[nodiscard]] uint64_t adopted() const { return adopted_; }

 private:
  // An object that stays where it is, open, and as the index knows it.
  struct Known {
    Fd fd;
    io::Stat stat;
    Entry entry;
  };

  // late.cc
  Status finish_items();
  Status finish_item(Item& item);
  Status finish_stage(Item& item);
  Status finish_tail(Item& item, const Slot& tail, Fd fd);
  Status finish_copy(Item& item);
  Status finish_link(Item& item);
  Status move_source(Item& item, int parent, const Slot& slot, const io::Stat& before, Fd fd);
  Status settle(Item& item, const Slot& slot);
  Status dress_item(Item& item, Fd fd);
  bool leaves(const Key& key) const;
  Status seal_new_dirs();
  Status seal(Item& item);

  // publisher.cc
  Status each(const std::function<bool(const Item&)>& wanted, Status (Publisher::*step)(Item&));
  Status detach(Item& item);
  Status publish_directory(Item& item);
  Status publish_other(Item& item);
  Status place(Item& item);
  Status replace(Item& item, int parent, const Entry& entry, const io::Stat& before);
  Status drift(Item& item, int parent, const io::Stat& found);
  void displaced(const Item& item, const Slot& slot, const io::Stat& stat);
  Status displace_directory(Item& item, const Entry& entry, bool& stays);
  Status merge(Item& item, int parent, const io::Stat& found);
  static bool stands_for(const Item& item, const io::Stat& found);
  void adopt(Item& item, const io::Stat& found);
  bool record(Item& item, const io::Stat& stat);
  Status placed(Item& item, int parent);
  Status undo_detached();
  bool parent_entered(const Item& item) const;

  // append.cc
  void choose_appends();
  Status publish_append(Item& item);
  Status append(Item& item, Known known);
  Status take_back(int fd, const Key& key, const Entry& entry);

  // attributes.cc
  Status hold_for_sync(int fd);
  // Nothing: the item is seen to (adopted, held or asked for again).
  Result<std::optional<Known>> hold_known(
      Item& item, const std::function<Result<Fd>(int dir, std::string_view name)>& opener);
  Status publish_metadata(Item& item);
  Status finish_directories();
  Status finish_directory(Item& item);
  Status restore_times();
  void refresh_links();
  void part_groups();

  Workshop& shop_;
  ContentBuilder& contents_;
  Remover remover_;
  std::unordered_set<DirId> entered_;          // new directories that came in whole
  std::unordered_map<DirId, Entry> detached_;  // what the index had
  std::unordered_set<DirId> merged_;           // new directories whose name was a directory already
  std::unordered_set<DirId> finished_;
  std::unordered_set<Key> taken_;  // sources of copies that were moved out
  bool changed_tree_ = false;
  bool left_detached_ = false;
  uint64_t published_ = 0;
  uint64_t adopted_ = 0;
};

// Sets and reads back the attributes of an object that is seen meanwhile. `xattrs`: those that it
// has; null: read first.
[[nodiscard]] Result<io::Stat> change(int fd, const io::Stat& now, const Attributes& want,
                                      const std::string* xattrs);

// An inode's ctime changed by our own hand: the local records of all its names follow.
void refresh_inode(Index& index, io::DirCache& dirs, uint64_t inode);

}  // namespace repl::apply
