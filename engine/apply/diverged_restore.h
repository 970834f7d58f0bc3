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
#include <utility>
#include <vector>

#include "engine/apply/diverged_compare.h"
#include "engine/apply/diverged_store.h"
#include "engine/apply/object_copy.h"

namespace repl::apply::diverged {

enum class OnPresent : uint8_t { refuse, replace };

enum class Outcome : uint8_t {
  restored,
  removed,          // it was deleted here: what the other side brought is in the store now
  already,          // it is there, just so
  in_the_way,       // something else is there: OnPresent::refuse, or a directory
  nothing_to_make,  // no version is in the store (deleted, or only its attributes were replaced)
};

// Directories before what is in them; what was deleted last, the deepest first.
void sort_for_restore(std::vector<Item>& items);

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
  // Attributes of directories, the deepest first; everything is on disk afterwards. To be called
  // once, after the last restore.
  [[nodiscard]] Status finish();

 private:
  // Where an object is to have a name. `path` is empty where only the directory is known.
  struct Place {
    int dir;
    std::string_view name;
    std::string path;
  };
  // Where it is made before it has its name: in the store, or beside its name.
  struct Temporary {
    uint64_t number = 0;
    int dir = -1;
    std::string name;
  };
  Restorer(Store& store, Fd root, bool same_filesystem, OnPresent on_present);
  Result<Fd> open_parent(std::string_view path);
  Result<Fd> open_or_make(int parent, std::string_view name, const std::string& path);
  Result<Outcome> restore_root(const Item& item);
  Result<Outcome> restore_at(const Item& item, const Place& place);
  Result<Outcome> remove_again(const Item& item, const Place& place);
  Result<Outcome> restore_directory(const Item& item, const Place& place, const Comparison& now);
  Result<Outcome> restore_attributes(const Item& item, const Place& place, const Comparison& now);
  Result<Outcome> restore_object(const Item& item, const Place& place, const Comparison& now);
  Result<Outcome> put(const Item& item, const Temporary& made, const Place& place,
                      const Comparison& now);
  Result<Outcome> exchange(const Item& item, const Temporary& made, const Place& place);
  [[nodiscard]] Temporary temporary(const Place& place);
  Status make_object(const Item& item, const Temporary& at);
  bool link_sibling(const Item& item, const Temporary& at);
  void remember_name(const Item& item, const Place& place);
  Status record_displaced(const Item& by, uint64_t number, const WholeObject& was, bool has_object);
  Status set_directory(const Place& place, const Attributes& attr);
  Store& store_;
  Fd root_;
  bool same_filesystem_ = true;
  OnPresent on_present_ = OnPresent::refuse;
  std::map<std::string, Attributes> known_dirs_;   // of the store, by path
  std::map<std::string, Attributes> directories_;  // whose attributes are set at the end, by path
  // Names of one file (inode, birth), of which there are several: where the first is now.
  struct FirstName {
    std::string path;  // empty: none yet
    uint64_t inode = 0;
  };
  using FileIdentity = std::pair<uint64_t, Timestamp>;
  std::map<FileIdentity, FirstName> linked_;
};

}  // namespace repl::apply::diverged
