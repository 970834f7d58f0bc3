// diverged_restore.h: kept versions come back whole: content, every attribute, extended attributes,
// hard links among what one Restorer restores. The store stays as it is: what comes back is a copy
// (a reflink where there are any).
//
// Nothing at the destination is lost: a new name is made with RENAME_NOREPLACE; with
// OnPresent::replace what was there is exchanged out and becomes an item of the store. Every object
// is complete before it has its name.
//
// Thread: one owner. Nothing leaves the destination's root, whatever symlinks are in it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/apply/diverged_store.h"

namespace repl::apply::diverged {

enum class OnPresent : uint8_t { refuse, replace };

enum class Outcome : uint8_t {
  restored,
  removed,          // it was deleted here: what the other side brought is in the store now
  already,          // it is there, just so
  in_the_way,       // something else is there: OnPresent::refuse, or a directory
  nothing_to_make,  // no version is in the store (deleted, or only its attributes were replaced)
};

class Restorer {
 public:
  // `root`: the tree's, or any directory. On another filesystem than the store only
  // OnPresent::refuse is allowed (`invalid`).
  [[nodiscard]] static Result<Restorer> make(Store& store, int root, OnPresent on_present);

  // To item.path below the root. Directories that are missing on the way are made as the store
  // knows them, else 0755.
  [[nodiscard]] Result<Outcome> restore(const Item& item);
  // The same to a name in a directory that is held open.
  [[nodiscard]] Result<Outcome> restore_to(const Item& item, int dir, std::string_view name);
  // Attributes of directories, the deepest first; everything is on disk afterwards.
  [[nodiscard]] Status finish();

 private:
  Restorer(Store& store, Fd root, bool same_filesystem, OnPresent on_present);
  Result<Fd> open_parent(const std::string& path);
  Result<Fd> open_or_make(int parent, std::string_view name, const std::string& path);
  Result<Outcome> restore_directory(const Item& item, int dir, std::string_view name);
  Result<Outcome> restore_attributes(const Item& item, int dir, std::string_view name);
  Result<Outcome> remove_again(const Item& item, int dir, std::string_view name);
  Result<Outcome> restore_object(const Item& item, int dir, std::string_view name);
  Result<Outcome> place(const Item& item, int from, const std::string& made, int dir,
                        std::string_view name);
  Status displaced(const Item& by, uint64_t number);
  Store& store_;
  Fd root_;
  bool same_filesystem_ = true;
  OnPresent on_present_ = OnPresent::refuse;
  std::map<std::string, Attributes> directories_;  // whose attributes are set at the end, by path
};

}  // namespace repl::apply::diverged
