// tree_engine.h: one tree on one node, from kernel event to peers or from a peer to the disk.
//
// It owns the tree's parts, one duty (Primary or Secondary), and the sessions with peers. A node
// without lineage begins as a Secondary; the one that founds the tree becomes the Primary.
//
// Thread: run() is the engine's thread. attach(), request_*() and stop() from any thread; answers
// are called on the engine's thread.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/run/event_loop.h"
#include "engine/run/facts.h"
#include "engine/run/session.h"
#include "engine/run/sync_thread.h"
#include "engine/run/tree_parts.h"

namespace repl::run {

class Primary;
class Secondary;

class TreeEngine {
 public:
  [[nodiscard]] static Result<std::unique_ptr<TreeEngine>> open(TreeOptions options,
                                                                const Clock& clock, Log& log);
  ~TreeEngine();
  TreeEngine(const TreeEngine&) = delete;
  TreeEngine& operator=(const TreeEngine&) = delete;

  // A connection was made; the engine says hello. A second one of the same peer replaces the first.
  void attach(std::shared_ptr<Link> link);
  // Until stop(). An error when the tree cannot go on (its root went away): open it again later.
  [[nodiscard]] Status run();
  void stop();

  void request_facts(std::function<void(TreeFacts)> answer);
  void request_wait(WaitRequest request, std::function<void(WaitAnswer)> answer);
  void request_verify(VerifyOptions options, std::function<void(VerifyAnswer)> answer);
  // Releases what is held: on a secondary the primary's versions go in and the local ones are kept;
  // on a primary an emptied root is accepted. The answer says how many.
  void request_approve(std::function<void(Result<uint64_t>)> answer);

 private:
  TreeEngine(std::unique_ptr<TreeParts> parts, EventLoop loop);
  [[nodiscard]] Status begin();
  [[nodiscard]] std::function<void()> drain_hook();
  void post(std::function<void()> task);
  void run_posted();
  void take_new_links();
  void serve_sessions();
  void close_session(Session& session, const Error& why);
  Status drain_watch();
  [[nodiscard]] std::optional<Duration> time_to_wait(bool busy) const;
  [[nodiscard]] Hello make_hello() const;
  bool say_hello();
  void tell_events();
  void become_primary();
  void consider_founding();
  [[nodiscard]] TreeFacts facts() const;

  std::unique_ptr<TreeParts> parts_;
  EventLoop loop_;
  SyncThread sync_;
  std::unique_ptr<Primary> primary_;
  std::unique_ptr<Secondary> secondary_;
  Duty* duty_ = nullptr;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::map<std::string, Hello> heard_;  // last hello of every peer
  std::map<std::string, std::string> last_errors_;
  MonotonicTime next_drain_{};  // under load the kernel's queue may fill a little
  bool watch_waits_ = false;
  Status ended_;

  std::atomic<bool> stop_ = false;
  mutable std::mutex mutex_;  // guards the two below
  std::deque<std::function<void()>> posted_;
  std::vector<std::shared_ptr<Link>> new_links_;
};

}  // namespace repl::run
