#include "engine/apply/diverged_view.h"

#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include "engine/apply/diverged_files.h"
#include "engine/apply/staging.h"
#include "engine/io/fs_ops.h"

namespace repl::apply::diverged {

namespace {

// A shared lock, given back at once.
bool is_locked(int dir) {
  if (::flock(dir, LOCK_SH | LOCK_NB) == 0) {
    ::flock(dir, LOCK_UN);
    return false;
  }
  return errno == EWOULDBLOCK;
}

Status compare_objects(int dir, View& view) {
  const Result<Fd> objects = io::open_dir(dir, objects_name);
  if (!objects && objects.error().code != ErrorCode::not_found) return fail(objects.error());
  std::unordered_set<uint64_t> there;
  if (objects) {
    const Result<std::vector<std::string>> names = names_in(objects->get());
    if (!names) return fail(names.error());
    for (const std::string& name : *names) {
      if (const auto number = number_of(name)) there.insert(*number);
    }
  }
  for (const Item& item : view.manifest.items) {
    const bool is_there = there.erase(item.number) > 0;
    if (item.has_object && !is_there) view.missing.push_back(item.number);
  }
  for (const uint64_t dropped : view.manifest.dropped) there.erase(dropped);
  view.unclaimed.assign(there.begin(), there.end());
  std::ranges::sort(view.unclaimed);
  return {};
}

Result<View> read_store(int stores, const std::string& id) {
  View view{.id = id};
  const Result<Fd> dir = io::open_dir(stores, id);
  if (!dir) return fail(dir.error());
  view.busy = is_locked(dir->get());
  Result<Manifest> manifest = read_manifest(stores, id);
  if (!manifest) return fail(manifest.error());
  view.manifest = std::move(*manifest);
  if (const Status compared = compare_objects(dir->get(), view); !compared)
    return fail(compared.error());
  return view;
}

}  // namespace

Result<std::vector<View>> list_stores(int area) {
  std::vector<View> views;
  const Result<Fd> stores = io::open_dir(area, stores_name);
  if (!stores && stores.error().code == ErrorCode::not_found) return views;
  if (!stores) return fail(stores.error());
  Result<std::vector<std::string>> names = names_in(stores->get());
  if (!names) return fail(names.error());
  std::erase_if(*names, [](const std::string& name) { return !is_store_id(name); });
  std::ranges::sort(*names);
  for (const std::string& name : *names) {
    Result<View> view = read_store(stores->get(), name);
    // RACE: discarded since it was listed.
    if (!view && view.error().code == ErrorCode::not_found) continue;
    if (!view) return fail(view.error());
    // One that was begun when the power went has nothing to tell.
    if (view->manifest.whole_bytes == 0 && !view->manifest.torn_tail && view->unclaimed.empty())
      continue;
    views.push_back(std::move(*view));
  }
  return views;
}

}  // namespace repl::apply::diverged
