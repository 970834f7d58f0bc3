// The daemon's result:
// {"equal":bool,"held":n,"sha256","peers":[{"name","equal","held","detail","mismatches":[...],
// "entries","sha256"}]}; a reply that is not ok carries its own exit status.
#include <fmt/core.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/control_client.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/json.h"
#include "cli/progress.h"

namespace repl::cli {
namespace {

int verdict(const Json& result) {
  if (!get_bool(result, "equal")) return exit_failed;
  return get_number<uint64_t>(result, "held") > 0 ? exit_equal_except_held : exit_ok;
}

void print_peer(const Json& peer) {
  if (!peer.is_object()) return;
  fmt::print("  {}: {}", get_text(peer, "name"), get_bool(peer, "equal") ? "equal" : "DIFFERENT");
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
  const auto mismatches = peer.find("mismatches");
  if (mismatches == peer.end() || !mismatches->is_array()) return;
  for (const Json& path : *mismatches) {
    if (path.is_string()) fmt::print("    differs: {}\n", path.get<std::string>());
  }
}

void print_result(const std::string& tree, const Json& result) {
  const int exit = verdict(result);
  fmt::print("{}: {}\n", tree,
             exit == exit_ok       ? "equal"
             : exit == exit_failed ? "DIFFERENT"
                                   : "equal except what is held");
  if (const std::string sha256 = get_text(result, "sha256"); !sha256.empty()) {
    fmt::print("  here: sha256 {}\n", sha256);
  }
  const auto peers = result.find("peers");
  if (peers == result.end() || !peers->is_array()) return;
  for (const Json& peer : *peers) print_peer(peer);
}

int verify(const VerifyOptions& options, const std::string& tree) {
  const SystemClock clock;
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  ProgressLine line(clock, terminal ? ProgressStyle::terminal : ProgressStyle::plain, 80,
                    [](std::string_view text) {
                      fmt::print(stderr, "{}", text);
                      std::fflush(stderr);
                    });
  TransferProgress last;
  const auto reply = ask(control_socket_path(options.global.runtime_dir, tree),
                         {.command = "verify",
                          .tree = tree,
                          .options = {{"full", options.full ? "true" : "false"},
                                      {"sha256", options.sha256 ? "true" : "false"}}},
                         std::nullopt, [&](const std::string& text) {
                           const Json progress = parse_json(text);
                           if (options.json || !progress.is_object()) return;
                           last = {get_number<uint64_t>(progress, "files_done"),
                                   get_number<uint64_t>(progress, "files_total"),
                                   get_number<uint64_t>(progress, "bytes_done"),
                                   get_number<uint64_t>(progress, "bytes_total")};
                           line.update(last);
                         });
  if (terminal && last.files_total > 0) line.finish(last);
  if (!reply)
    return report("tree " + tree + ": " + reply.error().message,
                  exit_code_of_asking(reply.error()));
  if (const auto* failed = std::get_if<ReplyFailed>(&*reply)) {
    return report("tree " + tree + ": " + failed->error, failed->exit);
  }
  Json result = parse_json(std::get<ReplyDone>(*reply).json);
  if (!result.is_object()) return report("the daemon's result is not a JSON object", exit_failed);
  if (options.json) {
    result["tree"] = tree;
    fmt::print("{}\n", print_json(result));
  } else {
    print_result(tree, result);
  }
  return verdict(result);
}

}  // namespace

int command_verify(const VerifyOptions& options) {
  const std::vector<std::string> trees = trees_or_all(options.trees, options.global);
  if (trees.empty()) return report("there is no tree to verify on this node", exit_not_running);
  int exit = exit_ok;
  for (const std::string& tree : trees) {
    const int one = verify(options, tree);
    if (exit == exit_ok || (exit == exit_equal_except_held && one != exit_ok)) exit = one;
  }
  return exit;
}

}  // namespace repl::cli
