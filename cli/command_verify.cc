// The daemon's result:
// {"equal":bool,"held":n,"sha256","bytes_read","differences_here":[...],"peers":[{"name","equal",
// "outcome","held","held_paths":[...],"detail","mismatches":[...],"entries","bytes_read",
// "sha256"}]}; a reply that is not ok carries its own exit status.
#include <fmt/core.h>

#include "cli/ask_tree.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/progress.h"
#include "cli/status_view.h"

namespace repl::cli {
namespace {

int verdict(const Json& result) {
  if (!get_bool(result, "equal")) return exit_failed;
  return get_number<uint64_t>(result, "held") > 0 ? exit_equal_except_held : exit_ok;
}

void print_paths(const Json& of, const char* key, const char* word) {
  const auto paths = of.find(key);
  if (paths == of.end() || !paths->is_array()) return;
  for (const Json& path : *paths) {
    if (path.is_string()) fmt::print("    {}: {}\n", word, path.get<std::string>());
  }
}

void print_peer(const Json& peer) {
  if (!peer.is_object()) return;
  const bool equal = get_bool(peer, "equal");
  if (!equal && get_text(peer, "outcome") != "different") {
    fmt::print("  {}: not verified: {}\n", get_text(peer, "name"), get_text(peer, "detail"));
    return;
  }
  fmt::print("  {}: {}", get_text(peer, "name"), equal ? "equal" : "DIFFERENT");
  fmt::print(", {} entries", get_number<uint64_t>(peer, "entries"));
  if (const auto bytes = get_number<uint64_t>(peer, "bytes_read")) {
    fmt::print(", {} read", human_bytes(bytes));
  }
  if (const auto held = get_number<uint64_t>(peer, "held")) fmt::print(", {} paths held", held);
  fmt::print("\n");
  if (const std::string sha256 = get_text(peer, "sha256"); !sha256.empty()) {
    fmt::print("    sha256 {}\n", sha256);
  }
  if (const std::string detail = get_text(peer, "detail"); !detail.empty()) {
    fmt::print("    {}\n", detail);
  }
  print_paths(peer, "mismatches", "differs");
  print_paths(peer, "held_paths", "held");
}

void print_result(const std::string& tree, const Json& result) {
  const int exit = verdict(result);
  fmt::print("{}: {}\n", tree,
             exit == exit_ok       ? "equal"
             : exit == exit_failed ? "DIFFERENT"
                                   : "equal except what is held");
  if (const auto bytes = get_number<uint64_t>(result, "bytes_read")) {
    fmt::print("  here: {} entries, {} read\n", get_number<uint64_t>(result, "entries"),
               human_bytes(bytes));
  }
  if (const std::string sha256 = get_text(result, "sha256"); !sha256.empty()) {
    fmt::print("    sha256 {}\n", sha256);
  }
  print_paths(result, "differences_here", "differs here from what was last seen");
  const auto peers = result.find("peers");
  if (peers == result.end() || !peers->is_array()) return;
  for (const Json& peer : *peers) print_peer(peer);
}

int verify(const VerifyOptions& options, const std::string& tree) {
  const SystemClock clock;
  ProgressLine line = progress_on_stderr(clock);
  const TreeAnswer result =
      ask_tree(options.global,
               {.command = "verify",
                .tree = tree,
                .options = {{"full", options.full ? "true" : "false"},
                            {"sha256", options.sha256 ? "true" : "false"}}},
               std::nullopt, [&](const Json& progress) {
                 if (options.json) return;
                 line.update({.bytes_done = get_number<uint64_t>(progress, "bytes_done"),
                              .bytes_total = get_number<uint64_t>(progress, "bytes_total")});
               });
  line.break_off();
  if (!result) return report_tree(tree, result.error());
  if (options.json) {
    print_json_line(tree, *result);
  } else {
    print_result(tree, *result);
  }
  return verdict(*result);
}

}  // namespace

int command_verify(const VerifyOptions& options) {
  return for_each_tree(options.trees, options.global,
                       [&](const std::string& tree) { return verify(options, tree); });
}

}  // namespace repl::cli
