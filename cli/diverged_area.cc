#include "cli/diverged_area.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "cli/daemon_request.h"
#include "engine/apply/diverged_files.h"
#include "engine/base/escape.h"
#include "engine/io/fs_ops.h"
#include "engine/run/staging_place.h"
#include "engine/run/tree_options.h"

namespace repl::cli {

namespace {

namespace diverged = apply::diverged;
using diverged::Item;
using diverged::View;

Result<TreeConfig> configured_tree(const DivergedOptions& options) {
  Result<Config> config = load_config(options.global.config_file);
  const auto wrong = [](const Error& error) { return fail(ErrorCode::invalid, error.message); };
  if (!config) return wrong(config.error());
  const Result<std::string> node = find_node(*config, options.global.node, host_name());
  if (!node) return wrong(node.error());
  Result<TreeConfig> tree = find_tree(*config, options.tree);
  if (!tree) return wrong(tree.error());
  if (std::ranges::find(tree->nodes, *node) == tree->nodes.end()) {
    return fail(ErrorCode::invalid, "node \"" + *node + "\" is not in nodes of [tree." +
                                        options.tree + "]; say with --node which node this is");
  }
  return tree;
}

std::string below_root(std::string path, const std::string& root) {
  if (path == root) return {};
  if (path.starts_with(root + "/")) path.erase(0, root.size() + 1);
  while (path.starts_with("./")) path.erase(0, 2);
  while (path.ends_with('/')) path.pop_back();
  return path == "." ? std::string() : path;
}

Result<Fd> open_beneath(const std::string& root, DivergedArea& area) {
  const Result<Fd> seen = io::open_root(root);
  if (!seen) return fail(seen.error());
  Result<io::Beneath> beneath = io::Beneath::clone(seen->get());
  if (!beneath) return fail(beneath.error());
  area.beneath = std::move(*beneath);
  return io::open_dir(area.beneath->root(), run::staging_name);
}

bool at_or_below(const std::string& path, const std::string& wanted) {
  return wanted.empty() || path == wanted || path.starts_with(wanted + "/");
}

}  // namespace

Result<DivergedArea> open_diverged_area(const DivergedOptions& options) {
  const Result<TreeConfig> tree = configured_tree(options);
  if (!tree) return fail(tree.error());
  DivergedArea area{.root = tree->root};
  const std::string state_dir =
      std::filesystem::absolute(options.global.state_dir).string() + "/" + tree->name;
  const Result<std::string> staging =
      run::choose_staging(tree->root, tree->staging, state_dir, tree->guard);
  if (!staging && staging.error().code == ErrorCode::not_found) return area;
  if (!staging) return fail(staging.error());
  area.staging = *staging;
  Result<Fd> fd = tree->guard ? open_beneath(tree->root, area) : io::open_root(area.staging);
  if (!fd && fd.error().code == ErrorCode::not_found) return area;
  if (!fd) return fail(fd.error());
  area.area = std::move(*fd);
  Result<std::vector<View>> stores = diverged::list_stores(area.area.get());
  if (!stores) return fail(stores.error());
  area.stores = std::move(*stores);
  if (options.id.empty()) return area;
  std::erase_if(area.stores, [&](const View& store) { return store.id != options.id; });
  if (area.stores.empty()) {
    return fail(ErrorCode::not_found, "no diverged store of " + options.tree + " has the id " +
                                          escape(options.id) + ": `repl diverged list " +
                                          options.tree + "` shows them");
  }
  return area;
}

Result<Fd> open_tree_root(const DivergedArea& area) {
  return area.beneath ? area.beneath->copy_root() : io::open_root(area.root);
}

std::string kept_file(const DivergedArea& area, const std::string& id, uint64_t number) {
  return area.staging + "/" + std::string(diverged::stores_name) + "/" + id + "/" +
         std::string(diverged::objects_name) + "/" + diverged::object_name(number);
}

std::vector<Item> select_items(const DivergedOptions& options, const std::string& root,
                               const View& store) {
  std::vector<Item> items = store.manifest.items;
  const auto meant = [&](const Item& item) {
    if (options.item) return item.number == *options.item;
    if (options.paths.empty()) return true;
    return std::ranges::any_of(options.paths, [&](const std::string& path) {
      const std::string wanted = below_root(path, root);
      return at_or_below(item.path, wanted) || at_or_below(escape(item.path), wanted);
    });
  };
  std::erase_if(items, [&](const Item& item) { return !meant(item); });
  return items;
}

std::vector<Item> latest_versions(const DivergedOptions& options, std::vector<Item> items) {
  if (options.item) return items;
  std::map<std::string, Item> latest;
  for (Item& item : items) {
    if (item.change != diverged::Change::displaced) latest[item.path] = std::move(item);
  }
  std::vector<Item> chosen;
  for (auto& [path, item] : latest) chosen.push_back(std::move(item));
  return chosen;
}

Result<const View*> select_store(const DivergedOptions& options, const DivergedArea& area) {
  const View* chosen = nullptr;
  std::string ids;
  size_t found = 0;
  for (const View& store : area.stores) {
    const bool everything = options.paths.empty() && !options.item;
    if (!everything && select_items(options, area.root, store).empty()) continue;
    chosen = &store;
    ids += (found++ == 0 ? "" : ", ") + store.id;
  }
  if (chosen == nullptr) {
    return fail(ErrorCode::not_found,
                "nothing that diverged is at these paths: `repl diverged "
                "list " +
                    options.tree + "` shows what there is");
  }
  if (found == 1) return chosen;
  return fail(ErrorCode::invalid, "several stores have it; say with --id which: " + ids);
}

}  // namespace repl::cli
