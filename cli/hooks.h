// hooks.h: the programs that a tree's configuration names for its events, run one after the other
// in the order of the events. repl.toml(5) documents what they find in their environment.
//
// A hook that fails is told in the log and changes nothing, but for whom asked with run().
//
// Thread: post() and run() from any, and neither blocks; programs run on a thread of its own, which
// exists where a hook is configured. configure(), stop() and the destructor: the owner's.
// Bounds: limits::hook_waiting_max of each event wait; with one more the oldest of that event that
// nobody waits for is dropped, with a line in the log.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/config.h"
#include "cli/hook_program.h"
#include "engine/base/clock.h"
#include "engine/base/fd.h"
#include "engine/base/log.h"
#include "engine/run/tree_event.h"

namespace repl::cli {

// Whose hooks they are.
struct HookOrigin {
  std::string tree;
  std::string node;
  std::string root;
};

class Hooks {
 public:
  using Done = std::function<void(const HookResult&)>;

  Hooks(const Clock& clock, Log& log);
  ~Hooks();
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

  // At the start, and at a reload: what runs or waits stays, and what waits runs as told now.
  [[nodiscard]] Status configure(HookOrigin origin, HookSettings settings);
  void post(const run::TreeEvent& event) { add(event, {}); }
  // In its turn. `done` is called once: on the thread of the hooks, or at once, on the caller's, if
  // there is no such hook (a success) or it will not run.
  void run(const run::TreeEvent& event, Done done) { add(event, std::move(done)); }
  // Blocks until nothing runs or waits.
  void finish();
  // What runs is ended (hook_program.h), what waits is not run.
  void stop();

 private:
  struct Waiting {
    run::TreeEvent event;
    Done done;  // empty: nobody waits
  };
  void add(const run::TreeEvent& event, Done done);
  [[nodiscard]] bool make_room(run::TreeEvent::Kind kind);
  void loop();
  [[nodiscard]] HookResult run_one(const run::TreeEvent& event, const HookOrigin& origin,
                                   const HookSettings& settings);

  const Clock& clock_;
  Log& log_;
  Fd stop_fd_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  HookOrigin origin_;
  HookSettings settings_;
  std::deque<Waiting> waiting_;
  bool running_ = false;
  bool stop_ = false;
  std::thread thread_;  // the owner's
};

// The whole environment of a hook.
[[nodiscard]] std::vector<std::string> hook_environment(const HookOrigin& origin,
                                                        const run::TreeEvent& event);

// What is wrong with the programs of a tree on this node, one line each: they would not be run.
[[nodiscard]] std::vector<std::string> hook_faults(const TreeConfig& tree);

}  // namespace repl::cli
