// status_view.h: what `repl status` says about one tree: plain values, their JSON (stable; keys are
// only added) and their rendering for a terminal. The daemon fills TreeStatus.
//
// JSON keys are the members' names. Names of files pass through escape() before they get here, so
// that every string is printable UTF-8; from_json takes what an older or newer version left out or
// added.
//
// Thread: values and stateless functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace repl::cli {

struct TransferProgress {
  uint64_t files_done = 0;
  uint64_t files_total = 0;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  bool operator==(const TransferProgress&) const = default;
};

struct WireCounters {
  uint64_t bytes_out = 0;  // on the wire, compressed
  uint64_t bytes_in = 0;
  uint64_t plain_bytes_out = 0;  // before compression
  uint64_t plain_bytes_in = 0;
  uint64_t messages_out = 0;
  uint64_t messages_in = 0;
  int64_t zstd_level = 0;  // of what leaves, now; 0: not compressed
  uint64_t zstd_window_bytes = 0;
  std::string bottleneck;  // of what leaves, now: "link", "processor", or empty
  bool operator==(const WireCounters&) const = default;
};

// How contents travelled since the peer connected: files by method, and bytes.
struct MethodCounts {
  uint64_t metadata = 0;
  uint64_t inlined = 0;  // within their record
  uint64_t copied = 0;   // from what the peer has under another name
  uint64_t linked = 0;
  uint64_t append = 0;
  uint64_t aligned = 0;  // changed blocks
  uint64_t rolling = 0;  // shifted blocks found
  uint64_t whole = 0;
  uint64_t removed = 0;
  uint64_t literal_bytes = 0;
  uint64_t saved_bytes = 0;    // what the peer had already
  uint64_t rolling_bytes = 0;  // of them: found at another place
  uint64_t signature_requests = 0;
  bool operator==(const MethodCounts&) const = default;
};

struct PeerStatus {
  std::string name;
  bool connected = false;
  std::string phase;       // "away", "comparing", "catching up", "in sync", "held", ...
  double lag_seconds = 0;  // age of the oldest change this peer has not acknowledged as durable
  uint64_t lag_paths = 0;
  uint64_t lag_bytes = 0;
  uint64_t acked_applied_cut = 0;
  uint64_t acked_durable_cut = 0;
  uint64_t loose_since_cut = 0;  // large files of it, or of later ones, are under way; 0: none
  uint64_t large_files = 0;      // under way
  uint64_t held_back = 0;        // paths that wait for them: what would destroy a version
  std::optional<TransferProgress> progress;  // while something large is under way
  std::string hold;                          // the peer waits for a person: why
  uint64_t held_keys = 0;
  uint64_t hot_files = 0;  // sent as they were read, since they never held still
  std::string last_error;  // empty: none since the last connection
  WireCounters wire;
  MethodCounts methods;
  uint64_t bandwidth_limit = 0;  // bytes per second; 0: none
  std::string transport;         // "tls", "ssh"
  bool operator==(const PeerStatus&) const = default;
};

struct Verification {
  bool equal = false;
  bool full = false;  // bytes were re-read
  int64_t at_unix_seconds = 0;
  uint64_t cut = 0;
  std::string peer;
  bool operator==(const Verification&) const = default;
};

struct TreeStatus {
  std::string version;  // of the daemon
  std::string tree;
  std::string node;
  std::string root;
  std::string role;   // "primary", "secondary", "none"
  std::string state;  // "synced", "suspect", "rescanning", "catching up", "held", ...
  uint64_t epoch = 0;
  std::string reign;  // 32 hex digits; empty: none
  uint64_t cut = 0;
  bool current = false;         // the primary, and shown to be so since its start
  std::string primary;          // the node that is, as far as this one knows; or empty
  bool incomplete = false;      // a replica that is not at a whole cut
  std::string consistency;      // of a replica: "exact", "loose", "unordered", "partial"
  uint64_t unordered_cuts = 0;  // cuts that could not be exact
  std::string watch_mode;       // "fanotify filesystem", "fanotify directories", "inotify"
  std::string watch_why;
  std::vector<std::string> holds;      // why a person must decide
  std::vector<std::string> held_keys;  // escaped paths, bounded by limits::holds_listed_max
  uint64_t held_keys_total = 0;
  std::vector<std::string> errors;  // present ones; retried
  // A scrub has read every file since then; 0: never.
  int64_t scrub_verified_unix_seconds = 0;
  bool scrub_running = false;
  uint64_t entries = 0;
  uint64_t bytes = 0;
  std::vector<PeerStatus> peers;
  std::optional<Verification> last_verification;
  std::string guard;       // "off", "writable", "read-only"
  std::string io_backend;  // "io_uring", "plain"
  int64_t started_unix_seconds = 0;
  bool operator==(const TreeStatus&) const = default;
};

// One line of JSON without the newline.
[[nodiscard]] std::string to_json(const TreeStatus& status);
[[nodiscard]] Result<TreeStatus> status_from_json(std::string_view text);

struct RenderOptions {
  bool color = false;  // only on a terminal
  int64_t now_unix_seconds = 0;
};
// For people; ends in a newline.
[[nodiscard]] std::string render(const TreeStatus& status, const RenderOptions& options);

// "1 path", "3 paths".
[[nodiscard]] std::string counted(uint64_t count, std::string_view one, std::string_view many);
// "1.5 MiB"; "250 ms", "3.2 s", "4 m 10 s", "2 h 5 m".
[[nodiscard]] std::string human_bytes(uint64_t bytes);
[[nodiscard]] std::string human_seconds(double seconds);

}  // namespace repl::cli
