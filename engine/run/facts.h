// facts.h: what an engine can say about its tree at a moment. Plain values, for status, wait and
// verify.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/model/message.h"
#include "engine/model/position.h"
#include "engine/run/link.h"
#include "engine/send/method_counters.h"

namespace repl::run {

struct PeerFacts {
  std::string name;
  bool connected = false;
  bool heard = false;  // it is connected, and has said hello
  std::string phase;   // "away", "waiting", "comparing", "catching up", "in sync", "held"
  std::string reason;  // why it waits or holds
  bool held = false;
  double lag_seconds = 0;  // age of the oldest change not durable there; 0 when there is none
  uint64_t lag_paths = 0;
  uint64_t lag_bytes = 0;
  CutNumber applied;
  CutNumber durable;
  // Set while large files of that cut, or of later ones, are under way, and what waits for them.
  CutNumber loose_since;
  uint64_t large_files = 0;
  uint64_t held_back = 0;
  bool transferring = false;
  uint64_t files_done = 0;
  uint64_t files_total = 0;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  uint64_t held_keys = 0;
  uint64_t hot_files =
      0;  // sent as they were read, since they never held still; since it connected
  std::string last_error;
  LinkCounters wire;
  send::MethodCounters methods;
};

struct TreeFacts {
  std::string tree;
  std::string node;
  std::string root;
  std::string staging;
  Role role = Role::none;
  std::string state;  // "scanning", "synced", "rescanning", "waiting", "held", "catching up"
  Position position;
  bool current = false;  // the primary, and shown to be so since the start, or by command
  std::string primary;   // who that is, as far as this node knows; or empty
  bool paused = false;
  bool handed = false;  // to another node, whose answer is awaited: neither primary nor secondary
  // A secondary's: nothing is applied over what it has; the commands that lead on are in `holds`.
  bool diverged = false;
  bool incomplete = false;  // a replica that is not at a whole cut
  // Of a replica: "exact" (its tree is a state that the primary's had), or applier.h's words.
  std::string consistency;
  uint64_t unordered_cuts = 0;
  std::string watch_mode;
  std::string watch_why;
  std::string io_backend;
  std::string guard;                    // "off", "writable", "read-only"
  std::vector<std::string> holds;       // why the tree, or a peer, waits for a person
  std::vector<std::string> held_paths;  // escaped, bounded
  uint64_t held_keys = 0;
  std::vector<std::string> errors;
  int64_t scrub_verified = 0;  // all files were read since; seconds of the wall clock, 0: never
  bool scrub_running = false;
  uint64_t entries = 0;
  uint64_t bytes = 0;
  std::vector<PeerFacts> peers;
};

// Whether nobody wants the answer any more: then none is given. Asked on the engine's thread;
// empty: somebody always does.
using Abandoned = std::function<bool()>;

// How `repl wait` ended.
struct WaitRequest {
  AckLevel level = AckLevel::durable;
  std::optional<int64_t> timeout_ms;
  bool wait_for_peers = false;
  std::string only;  // this peer alone; empty: all
  Abandoned abandoned;
};
// `closed`: the tree is.
enum class WaitResult : uint8_t { reached, peer_away, held, timeout, not_primary, closed };
struct WaitAnswer {
  WaitResult result = WaitResult::reached;
  CutNumber cut;
  std::string detail;
};

struct VerifyOptions {
  bool full = false;    // re-reads all bytes
  bool sha256 = false;  // so does this
  Abandoned abandoned;
  // Bytes read here and to be read, now and then; on the engine's thread. May be empty.
  std::function<void(uint64_t done, uint64_t total)> progress;
};
struct VerifyAnswer {
  // `held`: what is held there stands in the way of a proof. In the order of what matters: that one
  // peer differs is not lost because another could not be asked.
  enum class Outcome : uint8_t { equal, equal_except_held, held, peer_away, failed, different };
  struct Peer {
    std::string name;
    Outcome outcome = Outcome::failed;
    std::string detail;
    std::vector<std::string> differences;  // paths, bounded
    std::string sha256;                    // hex, if asked for and told
    uint64_t bytes_read = 0;               // there
  };
  Outcome outcome = Outcome::failed;  // the worst of them
  Position position;
  Fingerprint content;
  std::string sha256;  // hex, if asked for and the tree held still
  uint64_t entries = 0;
  uint64_t bytes_read = 0;               // here
  std::vector<std::string> differences;  // here: bytes that are not what the index says
  std::vector<Peer> peers;
};

}  // namespace repl::run
