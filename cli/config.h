// config.h: /etc/repl/repl.toml as plain data, validated. One file, the same on every node.
//
// Whatever is wrong is an Error (ErrorCode::invalid) whose message names file, line, what is wrong
// and what to do; unknown keys are errors with the nearest known key. repl.toml(5) documents every
// key.
//
// Thread: plain values; load_config and parse_config are stateless.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/limits.h"
#include "engine/change/brake.h"
#include "engine/model/filter.h"
#include "engine/model/policy.h"
#include "engine/run/tree_event.h"

namespace repl::cli {

enum class Transport : uint8_t { tls, ssh };
enum class WatchChoice : uint8_t { automatic, fanotify_filesystem, fanotify_directories, inotify };

// How this node is reached by ssh ([node.NAME.ssh]).
struct SshSettings {
  std::string user;                  // empty: ssh's own default
  uint16_t port = 0;                 // 0: ssh's own default
  std::string identity;              // path of a private key; empty: ssh's own choice
  std::vector<std::string> options;  // each becomes "-o OPTION"
  std::string repl = "repl";         // the command on that node
  bool operator==(const SshSettings&) const = default;
};

struct NodeConfig {
  std::string name;
  std::string address;  // host name or IP address, without port
  std::vector<std::string>
      fingerprints;  // "sha256:" + 64 hex digits; several while a key is being replaced
  SshSettings ssh;
  bool operator==(const NodeConfig&) const = default;
};

// What a tree says about one of its peers: [tree.NAME.peer.NODE] over the tree's own settings.
struct PeerConfig {
  Transport transport = Transport::tls;
  uint64_t bandwidth_bytes_per_second = 0;  // sent to this peer; 0: no limit
  bool operator==(const PeerConfig&) const = default;
};

// The key of each event, and its name without "on_" in a hook's environment.
inline constexpr std::array<std::pair<run::TreeEvent::Kind, std::string_view>, 5> hook_keys{
    {{run::TreeEvent::Kind::promoted, "on_promote"},
     {run::TreeEvent::Kind::demoted, "on_demote"},
     {run::TreeEvent::Kind::held, "on_hold"},
     {run::TreeEvent::Kind::diverged, "on_diverged"},
     {run::TreeEvent::Kind::synced, "on_synced"}}};

// What is run when something happens to a tree.
struct HookSettings {
  std::map<run::TreeEvent::Kind, std::vector<std::string>> programs;  // with their arguments
  std::chrono::seconds timeout{limits::hook_timeout_s};               // of each run
  bool operator==(const HookSettings&) const = default;
};

struct TreeConfig {
  std::string name;
  std::string root;                // absolute, normalised, without a trailing '/'
  std::vector<std::string> nodes;  // the first is the primary
  uint16_t port = 0;
  std::vector<std::string> include;  // empty: the whole root
  std::vector<FilterRule> rules;     // `filter`, then `exclude`
  bool ids_by_name = false;
  bool strict_order = false;
  bool repair_drift = false;
  bool guard = false;
  change::DeleteLimits deletes;
  std::string staging;  // absolute; empty: a directory inside the root
  WatchChoice watch = WatchChoice::automatic;
  // What a former primary does that starts and hears none of its peers for so long.
  bool serve_alone = false;
  std::chrono::seconds alone_after{limits::alone_after_s};
  int64_t scrub_days = 0;  // 0: never
  uint64_t scrub_bytes_per_second = limits::scrub_bytes_per_second;
  HookSettings hooks;
  std::map<std::string, PeerConfig> peers;  // one for every node of the tree
};

struct Config {
  std::string file;
  std::map<std::string, NodeConfig> nodes;
  std::map<std::string, TreeConfig> trees;
};

// `file` only names the origin in messages.
[[nodiscard]] Result<Config> parse_config(std::string_view text, const std::string& file);
[[nodiscard]] Result<Config> load_config(const std::string& file);

// The name of this node: `wanted` (--node) if given, else the node named like the host (whole name,
// or the part before the first dot). An error names the nodes of the file.
[[nodiscard]] Result<std::string> find_node(const Config& config, const std::string& wanted,
                                            const std::string& hostname);
// The tree, or an error that names the nearest.
[[nodiscard]] Result<TreeConfig> find_tree(const Config& config, const std::string& name);

// How two nodes of a tree speak: by ssh if either of them is reached by ssh.
[[nodiscard]] Transport transport_between(const TreeConfig& tree, const std::string& a,
                                          const std::string& b);
// Which of two connects, so that a pair has one connection whatever the roles are: the node that is
// reached by ssh is dialled; if both are or neither is, the later one of `nodes` dials.
[[nodiscard]] bool dials(const TreeConfig& tree, const std::string& self, const std::string& other);

// The attribute policy and compiled filter of a tree.
[[nodiscard]] Result<Policy> policy_of(const TreeConfig& tree);

// "512K", "10M", "1.5G" (powers of 1024), or plain bytes; per second.
[[nodiscard]] Result<uint64_t> parse_bandwidth(std::string_view text);

// The candidate with the smallest edit distance to `word`, if that is small enough to be a typing
// error.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word,
                                                 const std::vector<std::string>& candidates);

}  // namespace repl::cli
