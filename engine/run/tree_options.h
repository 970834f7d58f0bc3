// tree_options.h: what a tree's engine is told at its start. Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/change/brake.h"
#include "engine/io/backend.h"
#include "engine/model/policy.h"
#include "engine/run/sync_thread.h"
#include "engine/run/tree_event.h"
#include "engine/watch/watcher.h"

namespace repl::run {

// Where a node's role comes from.
enum class Standing : uint8_t {
  configured,     // the lineage decides, and for the first time the order of `nodes`
  mirror_source,  // `repl mirror`: always the primary
  mirror_copy,    // `repl mirror`: always the copy; what is there is compared, not held
};

struct TreeOptions {
  std::string name;
  std::string node;
  std::vector<std::string> nodes;  // all that carry the tree, this one too
  std::string root;                // absolute
  std::string staging;             // absolute; empty: chosen (below)
  std::string state_dir;           // of this tree on this node; made if missing, mode 0700
  Policy policy;
  Standing standing = Standing::configured;
  bool strict_order = false;     // no cut is published before the large files of earlier ones
  change::DeleteLimits deletes;  // what a primary sends without asking a person
  bool repair_drift = false;     // what was changed on a replica is kept aside and replaced
  Duration scrub_every{};        // zero: never
  uint64_t scrub_bytes_per_second = limits::scrub_bytes_per_second;
  bool guard = false;       // the root is a mount of its own, read-only on a secondary
  bool keep_extra = false;  // mirror without --delete: what only the copy has stays
  std::optional<watch::Mode> watch_mode;
  bool watch_live = true;  // false: a scan and what it finds, no watch (mirror --once)
  io::BackendChoice io = io::BackendChoice::automatic;
  size_t scan_threads = 2;  // 0: the engine's thread scans
  SyncThread::Where sync_on = SyncThread::Where::thread;
  // What a former primary does that starts and hears none of its peers for `alone_after`: it serves
  // as the primary again, or it waits for a person.
  bool serve_alone = false;
  Duration alone_after = std::chrono::seconds(limits::alone_after_s);
  EventSink on_event;   // may be empty
  HookRunner run_hook;  // likewise: there is none, and it has ended well
};

// The name of the staging area when it lies in the root; reserved in every tree.
inline constexpr const char* staging_name = ".repl-staging";

}  // namespace repl::run
