// repl diverged restore|discard.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>

#include "cli/commands.h"
#include "cli/control_client.h"
#include "cli/daemon_request.h"
#include "cli/diverged_area.h"
#include "cli/diverged_text.h"
#include "cli/exit_codes.h"
#include "cli/json.h"
#include "cli/status_view.h"
#include "engine/apply/diverged_restore.h"
#include "engine/base/escape.h"
#include "engine/io/fs_ops.h"

namespace repl::cli {
namespace {

using namespace std::chrono_literals;
namespace diverged = apply::diverged;
using diverged::Item;
using diverged::Outcome;
using diverged::Store;
using diverged::View;

int report_selection(const Error& error) {
  return error.code == ErrorCode::invalid ? report(error.message, exit_usage) : report(error);
}

// What is put into a tree that is not primary would be drift, and held or replaced.
int check_primary(const DivergedOptions& options) {
  const std::string instead = ": restore on the node that is, or to a directory with --to DIR";
  const auto reply = ask(control_socket_path(options.global.runtime_dir, options.tree),
                         {.command = "status", .tree = options.tree, .options = {}}, 10s);
  if (!reply) {
    return report("whether this node is the primary for " + options.tree +
                      " is not known: " + reply.error().message + instead,
                  exit_code_of_asking(reply.error()));
  }
  if (const auto* failed = std::get_if<ReplyFailed>(&*reply))
    return report(failed->error, failed->exit);
  const Result<TreeStatus> status = status_from_json(std::get<ReplyDone>(*reply).json);
  if (!status) return report(status.error());
  if (status->role == "primary") return exit_ok;
  return report("this node is not the primary for " + options.tree + instead, exit_refused);
}

bool is_inside(const std::string& path, const std::string& root) {
  std::error_code ignored;
  const std::string inner = std::filesystem::weakly_canonical(path, ignored).string() + "/";
  const std::string outer = std::filesystem::weakly_canonical(root, ignored).string() + "/";
  return inner.starts_with(outer);
}

std::string in_words(const Item& item, Outcome outcome) {
  switch (outcome) {
    case Outcome::restored:
      return "restored";
    case Outcome::removed:
      return "removed again; the version that was there is in the store";
    case Outcome::already:
      return item.change == diverged::Change::deleted ? "is gone already" : "is there already";
    case Outcome::in_the_way:
      return "not restored: something else is there (--replace puts that into the store; a "
             "directory must be moved away)";
    case Outcome::nothing_to_make:
      break;
  }
  return "not restored: the store has no content of it";
}

int restore_items(const DivergedOptions& options, Store& store, diverged::Restorer& restorer,
                  const std::vector<Item>& items) {
  int exit = exit_ok;
  for (const Item& item : items) {
    const Result<Outcome> outcome = restorer.restore(item);
    if (!outcome) {
      exit =
          report(shown_path(item) + ": " + outcome.error().message, exit_code_of(outcome.error()));
      continue;
    }
    if (*outcome == Outcome::in_the_way || *outcome == Outcome::nothing_to_make) exit = exit_failed;
    if (options.json) {
      const Json json = {{"id", store.id()},
                         {"item", item.number},
                         {"path", shown_path(item)},
                         {"outcome", outcome_name(*outcome)}};
      fmt::print("{}\n", print_json(json));
    } else {
      fmt::print("{}: {}\n", shown_path(item), in_words(item, *outcome));
    }
  }
  const Status finished = restorer.finish();
  return finished ? exit : report(finished.error());
}

// Asks on a terminal; without one nobody can be asked.
bool is_wanted(const DivergedOptions& options, const View& store, size_t items) {
  if (options.yes) return true;
  if (::isatty(STDIN_FILENO) != 1) return false;
  fmt::print("Remove {} kept versions of {} for good? [y/N] ", items, store.id);
  std::fflush(stdout);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes";
}

Status remove(const DivergedOptions& options, Store& store, const std::vector<Item>& items) {
  if (options.all) return store.discard_all();
  std::vector<uint64_t> numbers;
  for (const Item& item : items) numbers.push_back(item.number);
  return store.discard(numbers);
}

}  // namespace

int restore_diverged(const DivergedOptions& options, const DivergedArea& area) {
  const Result<const View*> view = select_store(options, area);
  if (!view) return report_selection(view.error());
  const bool into_tree = options.to.empty();
  if (into_tree) {
    if (const int refused = check_primary(options); refused != exit_ok) return refused;
  } else if (is_inside(options.to, area.root)) {
    return report("--to " + escape(options.to) +
                      " is inside the tree: without --to it is restored "
                      "to its place",
                  exit_usage);
  }
  const Result<Fd> to =
      into_tree ? open_tree_root(area)
                : io::open_root(std::filesystem::absolute(options.to).lexically_normal().string());
  if (!to) return report(to.error());
  const auto store = Store::open(area.area.get(), (*view)->id);
  if (!store) return report(store.error());
  auto restorer = diverged::Restorer::make(
      **store, to->get(),
      options.replace ? diverged::OnPresent::replace : diverged::OnPresent::refuse);
  if (!restorer) return report_selection(restorer.error());
  std::vector<Item> items = latest_versions(options, select_items(options, area.root, **view));
  diverged::sort_for_restore(items);
  return restore_items(options, **store, *restorer, items);
}

int discard_diverged(const DivergedOptions& options, const DivergedArea& area) {
  const Result<const View*> view = select_store(options, area);
  if (!view) return report_selection(view.error());
  const std::vector<Item> items = select_items(options, area.root, **view);
  if (!is_wanted(options, **view, items.size())) {
    return report(
        "nothing was removed: kept versions are removed for good, which needs a \"y\" on "
        "a terminal, or --yes",
        exit_usage);
  }
  const auto store = Store::open(area.area.get(), (*view)->id);
  if (!store) return report(store.error());
  const Status removed = remove(options, **store, items);
  if (!removed) return report(removed.error());
  if (options.json) {
    const Json json = {
        {"id", (*view)->id}, {"removed", items.size()}, {"store_removed", (*store)->gone()}};
    fmt::print("{}\n", print_json(json));
  } else {
    fmt::print("{}: {} removed\n", (*view)->id, items.size());
  }
  return exit_ok;
}

}  // namespace repl::cli
