// repl diverged list|diff: what there is. What changes something: diverged_restore.cc.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstdio>
#include <ctime>

#include "cli/commands.h"
#include "cli/daemon_request.h"
#include "cli/diverged_area.h"
#include "cli/diverged_text.h"
#include "cli/exit_codes.h"
#include "cli/json.h"
#include "engine/apply/diverged_compare.h"
#include "engine/apply/diverged_files.h"
#include "engine/base/escape.h"
#include "engine/io/fs_ops.h"

namespace repl::cli {
namespace {

namespace diverged = apply::diverged;
using diverged::Item;
using diverged::View;

// --- list ---

int list(const DivergedOptions& options, const DivergedArea& area) {
  int exit = exit_ok;
  for (const View& store : area.stores) {
    if (store.damaged()) exit = exit_failed;
    if (options.json) {
      fmt::print("{}\n", diverged_json(area, store));
    } else {
      fmt::print("{}", diverged_text(area, store));
    }
  }
  if (area.stores.empty() && !options.json) fmt::print("nothing diverged\n");
  return exit;
}

// --- diff ---

// The directory that the path hangs in, as it is now; not_found where there is none.
Result<Fd> open_parent(const std::string& root, std::string_view path) {
  Result<Fd> dir = io::open_root(root);
  for (size_t at = 0, slash = 0; dir && (slash = path.find('/', at)) != std::string_view::npos;
       at = slash + 1) {
    dir = io::open_dir(dir->get(), path.substr(at, slash - at));
  }
  return dir;
}

Result<diverged::Comparison> compare_now(const DivergedArea& area, const Fd& objects,
                                         const Item& item) {
  const Result<Fd> parent = open_parent(area.root, item.path);
  if (!parent && parent.error().code == ErrorCode::not_found) return diverged::Comparison{};
  if (!parent) return fail(parent.error());
  if (item.path.empty()) return diverged::compare_directory(item, parent->get());
  const size_t slash = item.path.rfind('/');
  const std::string name = slash == std::string::npos ? item.path : item.path.substr(slash + 1);
  return diverged::compare(item, objects.get(), parent->get(), name);
}

Result<Fd> open_objects(const DivergedArea& area, const std::string& id) {
  Result<Fd> dir = io::open_dir(area.area.get(), diverged::stores_name);
  if (dir) dir = io::open_dir(dir->get(), id);
  if (dir) dir = io::open_dir(dir->get(), diverged::objects_name);
  return dir;
}

int diff_store(const DivergedOptions& options, const DivergedArea& area, const View& store) {
  const std::vector<Item> items = select_items(options, area.root, store);
  const Result<Fd> objects = open_objects(area, store.id);
  if (!objects) return report(objects.error());
  int exit = exit_ok;
  for (const Item& item : items) {
    const Result<diverged::Comparison> now = compare_now(area, *objects, item);
    if (!now) {
      exit = report(escape(item.path) + ": " + now.error().message, exit_code_of(now.error()));
      continue;
    }
    fmt::print("{}", options.json ? diff_json(area, store, item, *now) + "\n"
                                  : diff_text(area, store, item, *now));
  }
  return exit;
}

int diff(const DivergedOptions& options, const DivergedArea& area) {
  int exit = exit_ok;
  for (const View& store : area.stores) {
    if (const int one = diff_store(options, area, store); one != exit_ok) exit = one;
  }
  return exit;
}

}  // namespace

int command_diverged(const DivergedOptions& options) {
  const Result<DivergedArea> area = open_diverged_area(options);
  if (!area) {
    const bool usage = area.error().code == ErrorCode::invalid;
    return usage ? report(area.error().message, exit_usage) : report(area.error());
  }
  switch (options.action) {
    case DivergedAction::list:
      return list(options, *area);
    case DivergedAction::diff:
      return diff(options, *area);
    case DivergedAction::restore:
      return restore_diverged(options, *area);
    case DivergedAction::discard:
      return discard_diverged(options, *area);
  }
  return exit_usage;
}

}  // namespace repl::cli
