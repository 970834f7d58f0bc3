// tree_engine.h: one tree on one node, from kernel event to peers or from a peer to the disk.
//
// It owns the tree's parts, one duty (Primary or Secondary), and the sessions with peers. A node
// without lineage begins as a Secondary; the one that founds the tree becomes the Primary.
//
// Thread: run() is the engine's thread, or whoever calls turn(). attach(), request_*() and stop()
// from any thread; answers are called on the engine's thread.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/role/handover.h"
#include "engine/run/catch_up.h"
#include "engine/run/catch_up_plan.h"
#include "engine/run/differ.h"
#include "engine/run/event_loop.h"
#include "engine/run/facts.h"
#include "engine/run/listing_answers.h"
#include "engine/run/role_change.h"
#include "engine/run/scrub.h"
#include "engine/run/session.h"
#include "engine/run/sync_thread.h"
#include "engine/run/tree_parts.h"

namespace repl::run {

class Primary;
class Secondary;

// In the index while replication was paused by command.
inline constexpr std::string_view paused_meta = "paused";

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
  // What run() is made of, for a caller with a thread and a clock of its own: start(), then rounds,
  // each of which waits at most so long; false: it cannot go on. Without finish() it ends as in a
  // crash.
  [[nodiscard]] Status start();
  [[nodiscard]] bool turn(std::optional<Duration> wait);
  // When there is something to do although nothing happens.
  [[nodiscard]] std::optional<Duration> time_to_wait() const;
  Status finish();

  void request_facts(std::function<void(TreeFacts)> answer);
  void request_wait(WaitRequest request, std::function<void(WaitAnswer)> answer);
  void request_verify(VerifyOptions options, std::function<void(VerifyAnswer)> answer);
  // Releases what is held: on a secondary the primary's versions go in and the local ones are kept;
  // on a primary an emptied root is accepted. The answer says how many.
  void request_approve(std::function<void(Result<uint64_t>)> answer);
  // Makes this node the primary; demote() ends that, when what is dirty is in a cut.
  void request_promote(PromoteRequest request, std::function<void(Result<RoleChange>)> answer);
  void request_demote(bool dry_run, std::function<void(Result<RoleChange>)> answer);
  // Hands the tree to another node; `step` hears how far it is.
  void request_switchover(SwitchoverCommand command, std::function<void(std::string)> step,
                          std::function<void(Result<SwitchoverDone>)> answer);
  // Replication stands still until it is resumed, also over a restart; changes are remembered.
  void request_pause(bool paused, std::function<void(Status)> answer);
  // What differs from a peer's tree; of a primary without a name its only peer, of a secondary its
  // primary.
  void request_diff(std::string peer, std::function<void(Result<DiffResult>)> answer);
  // What catching up with that peer would do, and doing it.
  void request_catch_up_plan(std::string from, std::function<void(Result<CatchUpPlan>)> answer);
  void request_catch_up(CatchUpRequest request);

 private:
  // A primary that gives way: it pushes nothing, and ends as a secondary whose index knows all that
  // was changed here.
  struct StepDown {
    std::string why;
    int rounds = 0;  // since its scan ended
    RoleChange change;
    std::function<void(Result<RoleChange>)> answer;  // may be empty
  };
  TreeEngine(std::unique_ptr<TreeParts> parts, EventLoop loop);
  [[nodiscard]] Status begin();
  void begin_primary();
  [[nodiscard]] Status begin_secondary();
  [[nodiscard]] std::function<void()> drain_hook();
  void post(std::function<void()> task);
  void run_posted();
  void take_new_links();
  void serve_sessions();
  void close_session(Session& session, const Error& why);
  Status drain_watch();
  [[nodiscard]] Hello make_hello() const;
  bool say_hello();
  void tell_events();
  [[nodiscard]] TreeFacts facts() const;
  void begin_scrub();

  // tree_differences.cc
  [[nodiscard]] Result<Session*> session_with(const std::string& node) const;
  [[nodiscard]] Result<Session*> session_to_catch_up(const std::string& from) const;
  void begin_diff(const std::string& peer, std::function<void(Result<DiffResult>)> answer);
  void step_diffs();
  [[nodiscard]] CatchUpPlan make_plan(DiffResult diff);

  // tree_handover.cc
  void begin_switchover(const SwitchoverCommand& command, std::function<void(std::string)> step,
                        std::function<void(Result<SwitchoverDone>)> answer);
  void act(role::Actions actions);
  void act_one(role::Action& action);
  void set_guard(role::Guard guard);
  void step_guard();
  void on_report(const role::Report& report);
  void run_hook(role::Hook hook);
  void meet_for_handover(const Session& session);
  void on_handover(const Session& session, const Handover& message);
  void step_handover();
  [[nodiscard]] role::Readiness readiness_of(const std::string& peer) const;
  [[nodiscard]] role::TakerFacts taker_facts() const;
  [[nodiscard]] std::optional<MonotonicTime> handover_deadline() const;

  // tree_promotion.cc
  void begin_promotion(const PromoteRequest& request,
                       std::function<void(Result<RoleChange>)> answer);
  void step_promotion();
  [[nodiscard]] bool answers(const std::string& node) const;

  // tree_roles.cc
  void consider_founding();
  Status serve_as_primary();
  void on_hello(Session& session);
  [[nodiscard]] std::string not_deciding() const;
  void decide_again();
  void close_sessions(const std::string& why);
  void consider_currency();
  void look_for_regression(bool same_boot);
  void give_way(const Hello& newer);
  void step_down(StepDown how);
  void continue_step_down();
  Status become_secondary();
  Result<RoleChange> promote(const PromoteRequest& request);
  Status may_promote(const PromoteRequest& request, std::vector<std::string>& warnings) const;
  Status check_peer_for_promotion(const Session& session, const PromoteRequest& request,
                                  std::vector<std::string>& warnings) const;
  Status begin_reign();
  void describe_role(TreeFacts& facts) const;
  [[nodiscard]] std::string known_primary() const;
  // A node that said last, since this one's promotion or start, that it is the primary, too.
  [[nodiscard]] std::string rival() const;

  std::unique_ptr<TreeParts> parts_;
  EventLoop loop_;
  SyncThread sync_;
  std::unique_ptr<Primary> primary_;
  std::unique_ptr<Secondary> secondary_;
  Duty* duty_ = nullptr;
  std::unique_ptr<Scrub> scrub_;
  std::vector<std::unique_ptr<Session>> sessions_;
  uint64_t sessions_made_ = 0;
  std::map<std::string, Hello> heard_;  // last hello of every peer
  std::map<std::string, std::string> last_errors_;
  MonotonicTime next_drain_{};  // under load the kernel's queue may fill a little
  bool watch_waits_ = false;
  Status ended_;
  bool busy_ = true;  // the next round need not wait
  // A primary's: it has shown, since this start, that it is the current one, or a command said so.
  bool current_ = false;
  std::optional<MonotonicTime> alone_until_;  // then on_alone applies
  bool alone_ = false;                        // it did: held
  std::string regressed_;                     // why what is here may be old; of a former primary
  bool paused_ = false;
  std::optional<StepDown> step_down_;
  struct Asking {
    PromoteRequest request;
    std::function<void(Result<RoleChange>)> answer;
    std::vector<std::string> nodes;  // that were connected when it was asked for
    MonotonicTime until;
  };
  std::optional<Asking> asking_;  // a promotion, before it is decided
  role::HandingOver handing_;
  role::TakingOver taking_;
  struct Switching {
    MonotonicTime began;
    std::string to;
    bool unguarded = false;
    std::function<void(std::string)> step;
    std::function<void(Result<SwitchoverDone>)> answer;
  };
  std::optional<Switching> switching_;  // somebody waits for the end
  // Hooks that ended, told from their thread.
  struct HookResults {
    std::mutex mutex;
    std::deque<std::pair<role::Hook, Status>> ended;
    std::function<void()> wake;
  };
  std::shared_ptr<HookResults> hooks_ = std::make_shared<HookResults>();
  std::string handover_blocked_;  // why only a person can end it
  ListingAnswers listings_;
  Differ differ_;
  struct DiffWanted {
    std::string peer;
    std::function<void(Result<DiffResult>)> answer;
  };
  std::deque<DiffWanted> diffs_wanted_;
  struct Planned {
    uint64_t id = 0;
    std::string from;
    uint64_t bytes = 0;
  };
  std::deque<Planned> planned_;  // the newest first, limits::plans_known_max of them

  std::atomic<bool> stop_ = false;
  mutable std::mutex mutex_;  // guards the two below
  std::deque<std::function<void()>> posted_;
  std::vector<std::shared_ptr<Link>> new_links_;
};

}  // namespace repl::run
