// tree_host.h: one tree's engine on a thread of its own, opened again when it had to give up (its
// root went away), and the control requests that it answers.
//
// Thread: any, but stop() and the destructor from the owner.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cli/control_server.h"
#include "cli/hooks.h"
#include "cli/status_view.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/run/facts.h"
#include "engine/run/tree_engine.h"

namespace repl::cli {

// What the configuration says of the way to a peer; for the status.
struct PeerRoute {
  std::string transport;
  uint64_t bandwidth_limit = 0;
};
using PeerRoutes = std::map<std::string, PeerRoute>;

class Asked;

class TreeHost {
 public:
  // `hooks` outlives it; null: what happens to the tree is nobody's business.
  TreeHost(run::TreeOptions options, const Clock& clock, Log& log, PeerRoutes routes = {},
           Hooks* hooks = nullptr);
  ~TreeHost();
  TreeHost(const TreeHost&) = delete;
  TreeHost& operator=(const TreeHost&) = delete;

  // Opens the tree once, so that a first failure can be told at the start; the thread goes on
  // trying.
  [[nodiscard]] Status start();
  void stop();

  void attach(std::shared_ptr<run::Link> link);
  // "status", "wait", "verify", "approve", and those of role_requests.cc.
  void handle(const Request& request, const Reply& reply);
  // Blocks; nothing while the tree is not open.
  [[nodiscard]] std::optional<run::TreeFacts> facts();
  // Has it ended its scan, and has each peer said hello, or could it not be reached? Who has done
  // neither is added to `missing`. Blocks as facts() does.
  [[nodiscard]] bool settled(std::vector<std::string>& missing);
  // Added to the status: what this node knows of a peer that the engine does not (why a dial
  // failed).
  void set_peer_error(const std::string& node, const std::string& error);
  [[nodiscard]] Error last_error() const;

 private:
  void loop();
  [[nodiscard]] TreeStatus to_status(const run::TreeFacts& facts) const;
  [[nodiscard]] TreeStatus status_when_closed() const;
  void handle_wait(const Request& request, const std::shared_ptr<Asked>& asked);
  void handle_verify(const Request& request, const std::shared_ptr<Asked>& asked);
  // False: it is none of those.
  bool handle_role(const Request& request, const std::shared_ptr<Asked>& asked);
  void handle_switchover(const Request& request, const std::shared_ptr<Asked>& asked);
  bool handle_catch_up(const Request& request, const std::shared_ptr<Asked>& asked);
  void answer_verify(const run::VerifyAnswer& answer, bool full, Reply& reply);
  void add_route(PeerStatus& peer) const;

  run::TreeOptions options_;
  const Clock& clock_;
  Log& log_;
  const PeerRoutes routes_;
  Hooks* const hooks_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<run::TreeEngine> engine_;
  Error error_;
  std::map<std::string, std::string> peer_errors_;
  std::optional<Verification> verified_;
  int64_t started_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace repl::cli
