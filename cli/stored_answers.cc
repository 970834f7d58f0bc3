#include "cli/stored_answers.h"

#include <fmt/core.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/names.h"
#include "cli/status_view.h"
#include "cli/version.h"
#include "engine/base/escape.h"
#include "engine/run/stored_tree.h"

namespace repl::cli {
namespace {

struct Place {
  TreeConfig tree;
  std::string node;
  std::string state_dir;
};

std::optional<Place> place_of(const GlobalOptions& global, const std::string& tree) {
  const Result<Config> config = load_config(global.config_file);
  if (!config) return std::nullopt;
  const Result<std::string> node = find_node(*config, global.node, host_name());
  const auto at = config->trees.find(tree);
  if (!node || at == config->trees.end() || !at->second.peers.contains(*node)) return std::nullopt;
  return Place{.tree = at->second,
               .node = *node,
               .state_dir = std::filesystem::absolute(global.state_dir).string() + "/" + tree};
}

std::string at_start(const run::StoredTree& stored) {
  const std::string paused = stored.paused ? "it is paused; " : "";
  if (stored.state.handover.peer.empty() && stored.state.role == Role::primary) {
    return paused + (stored.state.clean_stop ? "it was stopped in order; " : "it did not end; ") +
           "at its start it is the primary again once enough of the others say that nobody else is";
  }
  if (stored.state.role == Role::primary) {
    return paused + "a hand-over with " + stored.state.handover.peer +
           " was under way: at its start it asks how that ended";
  }
  if (!stored.state.position.reign.is_set())
    return paused + "at its start it joins the primary, or waits for one";
  return paused + "at its start it follows the primary" +
         (stored.incomplete ? "; what is here is not a whole cut" : "");
}

Json role_answer(const run::StoredTree& stored) {
  return Json{{"role", role_name(stored.state.role)},
              {"current", false},
              {"running", false},
              {"state", "stopped"},
              {"epoch", stored.state.position.epoch.value},
              {"cut", stored.state.position.cut.value},
              {"primary", ""},
              {"detail", "no daemon runs; " + at_start(stored)}};
}

Json status_answer(const Place& place, const run::StoredTree& stored) {
  const bool replica = stored.state.role != Role::primary;
  TreeStatus status{.version = version,
                    .tree = place.tree.name,
                    .node = place.node,
                    .root = escape(place.tree.root),
                    .role = role_name(stored.state.role),
                    .state = "stopped",
                    .epoch = stored.state.position.epoch.value,
                    .cut = stored.state.position.cut.value,
                    .incomplete = replica && stored.incomplete,
                    .entries = stored.counts.entries,
                    .bytes = stored.counts.bytes};
  if (stored.state.position.reign.is_set()) status.reign = to_hex(stored.state.position.reign);
  if (replica) status.consistency = stored.consistency.empty() ? "exact" : stored.consistency;
  if (stored.paused)
    status.holds.push_back("paused: `repl resume " + place.tree.name + "` goes on");
  for (const std::string& node : place.tree.nodes) {
    if (node == place.node) continue;
    status.peers.emplace_back();
    status.peers.back().name = node;
    status.peers.back().phase = "away";
  }
  Json json = parse_json(to_json(status));
  json["running"] = false;
  return json;
}

TreeAnswer failure(const Error& error) {
  return std::unexpected(
      AskFailure{.error = "no daemon answers, and " + error.message, .exit = exit_not_running});
}

}  // namespace

std::optional<TreeAnswer> stored_answer(const GlobalOptions& global, const Request& request) {
  const bool pauses = request.command == "pause" || request.command == "resume";
  if (!pauses && request.command != "role" && request.command != "status") return std::nullopt;
  const std::optional<Place> place = place_of(global, request.tree);
  if (!place) return std::nullopt;
  const Result<run::StoredTree> stored = run::read_stored_tree(place->state_dir, request.tree);
  if (!stored) return failure(stored.error());
  if (pauses) {
    const bool paused = request.command == "pause";
    if (Status s = run::store_paused(place->state_dir, request.tree, paused); !s)
      return failure(s.error());
    fmt::print(stderr, "repl: tree {}: no daemon runs: it is stored for its next start\n",
               request.tree);
    return Json{{"paused", paused}, {"running", false}};
  }
  if (request.command == "role") return role_answer(*stored);
  fmt::print(stderr, "repl: tree {}: no daemon runs: this is what is stored\n", request.tree);
  return status_answer(*place, *stored);
}

}  // namespace repl::cli
