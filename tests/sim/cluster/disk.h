// disk.h: what the nodes of the simulator do to their disks, and where it ends. The disks are
// directories of one tmpfs; the C library's calls that change anything come here first, because
// disk.cc defines them for this executable. So production code crashes between any two of them.
//
// A crash: from that call on nothing that the node does has any effect; whoever drives it throws
// the engine away. What was done before stays, as after kill -9.
//
// Thread: one, the simulator's.
#pragma once

#include <cstdint>
#include <optional>
#include <random>

namespace repl::sim {

// What a build does whose rule was taken out, where that shows in calls.
enum class DiskMutant : uint8_t { none, publish_without_swap, keep_nothing };

struct Disk {
  uint64_t changes = 0;              // calls that changed something, so far
  std::optional<uint64_t> dies_at;   // the crash comes instead of that one
  std::optional<uint64_t> fails_at;  // that one fails, once
  int fails_with = 0;                // errno
  bool dead = false;
  DiskMutant mutant = DiskMutant::none;
};

// Whose calls follow; nullptr: the simulator's own.
void run_on(Disk* disk);
// What the calls of all nodes see of time and chance.
struct Surroundings {
  int64_t wall_ns = 0;
  std::mt19937_64 random;  // getrandom(2)
};
[[nodiscard]] Surroundings& surroundings();

}  // namespace repl::sim
