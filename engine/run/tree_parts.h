// tree_parts.h: what a tree stands on: root, staging area, index, descriptors, I/O. Opened in
// order, each failure with what to do about it.
//
// Thread: the engine's.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/apply/staging.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/change/change_set.h"
#include "engine/change/id_allocator.h"
#include "engine/change/observer.h"
#include "engine/index/index.h"
#include "engine/io/backend.h"
#include "engine/io/dir_cache.h"
#include "engine/role/node_state.h"
#include "engine/run/stamp.h"
#include "engine/run/tree_events.h"
#include "engine/run/tree_guard.h"
#include "engine/run/tree_options.h"
#include "engine/watch/watcher.h"

namespace repl::run {

struct TreeParts {
  TreeOptions options;
  const Clock& clock;
  Log& log;
  TreeGuard guard;
  uint64_t root_mount = 0;
  uint64_t root_device = 0;
  std::string staging_path;
  std::string reserved_name;  // below the root; never in the tree
  std::unique_ptr<Index> index;
  std::unique_ptr<io::DirCache> dirs;
  std::unique_ptr<io::Backend> backend;
  std::unique_ptr<apply::Staging> staging;
  std::unique_ptr<watch::HandleResolver> resolver;
  std::unique_ptr<watch::Watcher> watcher;  // null with watch_live off
  std::string watch_why;
  std::unique_ptr<change::IdAllocator> ids;
  change::ChangeSet changes;
  role::NodeState state;
  Stamp stamp;
  TreeEvents events{options.on_event, state};

  // Opens everything. `state` is as stored; the caller decides what run begins (role::begin_run).
  [[nodiscard]] static Result<std::unique_ptr<TreeParts>> open(TreeOptions options,
                                                               const Clock& clock, Log& log);
  // What an observer of this tree stands on.
  [[nodiscard]] change::ObserverParts observer_parts();
  // New ids come from here on: call when the reign is settled.
  void start_ids();
  // The next ones are under a tag of their own: of what a secondary finds by itself.
  void renew_ids();
  // Puts `state` into the index; durable with its next commit.
  void store_state();
  // The stamp, into the index: before each freeze, so that it belongs to that commit.
  void record_stamp();
  // Commits all that is pending, on this thread.
  [[nodiscard]] Status flush();
  // A commit that held stamp.recorded() as it was then is durable.
  void committed(const StampValue& recorded);
  // A directory left the tree, it may live on elsewhere: nothing in it is our business any more.
  void unwatch_tree(DirId top);
  // "etc/passwd" for people: the path of a key, escaped; the key itself if it has no place.
  [[nodiscard]] std::string describe(const Key& key) const;

 private:
  TreeParts(TreeOptions o, const Clock& c, Log& l);
  [[nodiscard]] std::function<bool(uint64_t)> id_is_taken() const;
  Status open_root();
  Status open_index();
  Status open_staging();
  Result<Fd> open_staging_dir();
  Result<Fd> make_staging_in_root();
  Status open_watch();
  Fd root_;
};

[[nodiscard]] Reign random_reign();
// Of this boot of the machine; unset where the kernel does not tell.
[[nodiscard]] Bits128 boot_id();

}  // namespace repl::run
