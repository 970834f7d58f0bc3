// handover.h: the planned switchover, as two state machines without I/O: HandingOver is the old
// primary's side, TakingOver the successor's. Every node has both.
//
// A call takes the node's durable state and one thing that happened, and returns what is to be
// done, in order. `Store` is made durable (Index::flush) before what follows it is done; if that
// fails, nothing of what follows is done, the tree is closed, and opening it again is a restart.
// What a restart forgets is in Memory. Messages may be lost, doubled, delayed, and come in any
// order.
//
// Invariants, tests/unit/role/handover_walk_test.cc:
// - Of two nodes at most one has Role::primary stored. Grant leaves only after the old primary has
//   stored that it is none (HandoverStage::handed: Role::secondary, and `repl role` exits 2), and
//   it is one again only on `refused`, which leaves only after the successor has stored that it
//   never honours that token.
// - handed ⇒ the successor has the final cut durably, so that rolling forward loses nothing.
// - While both are up and connected, every switchover ends with one primary.
//
// Between handed and the answer this node follows nobody (waits_for_answer); what is written there
// is drift. A new reign is in the lineage of all who follow it, so the lineage answers every
// question about the past: no node needs to remember whether it took over.
//
// The decision is the successor's alone, in one durable write (docs/ARCHITECTURE.md, "Switchover").
//
// Thread: the engine's.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/model/message.h"
#include "engine/role/node_state.h"

namespace repl::role {

// --- what is to be done
// ---------------------------------------------------------------------------------------------------

enum class Hook : uint8_t { on_demote, on_promote };
enum class Guard : uint8_t { open, closed };
enum class Progress : uint8_t { going_on, done, failed, blocked };

struct Store {
  NodeState state;
};
// Dropped if there is no connection: it is said again.
struct Say {
  std::string to;
  Handover message;
};
// Answered by on_hook, once it has ended; at once if none is configured. Hooks run one at a time,
// in this order.
struct RunHook {
  Hook hook = Hook::on_demote;
};
// `closed` is answered by on_guard; at once if there is no guard.
struct SetGuard {
  Guard guard = Guard::open;
};
// Everything written so far, as an exact cut; one without records if nothing changed, so that the
// successor has it in this reign. Answered by on_final_cut when nothing of it is loose or owed.
struct MakeFinalCut {};
// Take what the kernel has and see whether anything is dirty; answered by on_drained.
struct DrainAgain {};
// After the next three all sessions begin again, with a hello: a peer that goes on following the
// reign it knows would wait for ever.
//
// The stored state is a secondary's that follows nobody: no cut is made any more.
struct StepDown {};
// The stored state is a primary's, of a new reign. What peers lack is found by comparing.
struct BecomePrimary {};
// The stored state is a secondary's that may follow.
struct FollowAgain {};
// For whoever gave the command and for the log. `done`, `failed`: the last one of this switchover.
struct Report {
  Progress progress = Progress::going_on;
  std::string text;
};
using Action = std::variant<Store, Say, RunHook, SetGuard, MakeFinalCut, DrainAgain, StepDown,
                            BecomePrimary, FollowAgain, Report>;
using Actions = std::vector<Action>;

// --- of both sides
// ---------------------------------------------------------------------------------------------------

// Handed over and not answered: not the primary, and not to follow or promote without force.
[[nodiscard]] bool waits_for_answer(const NodeState& state);
// Where a history went on, under `epoch` or later, from `cut` of `reign` or later. Nothing if it
// did not, or if that was pruned.
[[nodiscard]] std::optional<LineageStep> went_on(const Lineage& lineage, const Reign& reign,
                                                 CutNumber cut, Epoch epoch);
// The primary again after a grant that is not honoured, or by force: the successor's epoch is
// burnt, the next one begins.
[[nodiscard]] NodeState take_back(NodeState state, const Reign& fresh);
// A primary with hook_due, at its start and when it became one; ended by on_promote's end.
[[nodiscard]] Actions serve(const NodeState& state);
[[nodiscard]] Actions promote_hook_ended(const NodeState& state, const Status& result);

// --- the old primary
// ---------------------------------------------------------------------------------------------------

// The successor as the primary sees it.
struct Readiness {
  bool connected = false;
  uint64_t features = 0;
  bool same_policy = false;
  bool synced = false;  // it follows, nothing is sent again or compared
  bool exact = false;   // its last cut was, and nothing is loose
  uint64_t held_keys = 0;
  Duration lag{};
};

struct SwitchoverRequest {
  std::string peer;
  Bits128 token;      // random
  Duration wait_max;  // for the peer's consent, and for the final cut; hooks have their own
};

class HandingOver {
 public:
  enum class Phase : uint8_t {
    idle,
    asking,      // prepare was said
    stopping,    // on_demote runs
    guarding,    // the guard is being closed
    cutting,     // the final cut is being made
    waiting,     // drain was said
    checking,    // the successor has it; is anything dirty?
    letting_go,  // handed is stored; is anything dirty?
    granting,    // grant was said, or may have been
  };
  struct Memory {
    Phase phase = Phase::idle;
    Bits128 token;
    std::string peer;
    CutNumber cut;  // final, and its fingerprints
    Fingerprint content;
    Fingerprint identity;
    Duration wait_max{};
    MonotonicTime give_up{};  // asking, cutting, waiting
    MonotonicTime say_again{};
  };

  // Once, when the tree is opened and the state is this run's.
  [[nodiscard]] Actions restarted(const NodeState& state, MonotonicTime now);
  // The command. A refusal is one Report, and nothing was begun.
  [[nodiscard]] Actions start(const NodeState& state, const SwitchoverRequest& request,
                              const Readiness& readiness, MonotonicTime now);
  // A hello of any peer, each time. `fresh` is always a random reign that was never used.
  [[nodiscard]] Actions on_hello(const NodeState& state, const Hello& hello, MonotonicTime now);
  // ready, declined, drained, confirm, refused, unknown.
  [[nodiscard]] Actions on_message(const NodeState& state, const std::string& from,
                                   const Handover& message, const Reign& fresh);
  [[nodiscard]] Actions on_hook(const NodeState& state, Hook hook, const Status& result);
  [[nodiscard]] Actions on_guard(const NodeState& state, const Status& result, MonotonicTime now);
  [[nodiscard]] Actions on_final_cut(const NodeState& state, CutNumber cut,
                                     const Fingerprint& content, const Fingerprint& identity,
                                     MonotonicTime now);
  [[nodiscard]] Actions on_drained(const NodeState& state, bool anything_dirty, MonotonicTime now);
  [[nodiscard]] Actions on_time(const NodeState& state, MonotonicTime now);
  [[nodiscard]] std::optional<MonotonicTime> deadline() const;
  // `promote --force` on a node that waits for an answer: the successor may be the primary, too.
  [[nodiscard]] Actions take_back_by_force(const NodeState& state, const Reign& fresh);

  // The caller has stored that another node is the primary, and an empty HandoverState with it.
  [[nodiscard]] Actions fenced();

  [[nodiscard]] const Memory& memory() const { return memory_; }
  // It was, and is to stay so.
  [[nodiscard]] bool guard_closed() const { return memory_.phase > Phase::guarding; }

 private:
  [[nodiscard]] Handover message(const NodeState& state, HandoverKind kind) const;
  [[nodiscard]] Actions say_again(const NodeState& state, MonotonicTime now);
  [[nodiscard]] Actions cut_again(MonotonicTime now);
  [[nodiscard]] Actions hand(const NodeState& state);
  [[nodiscard]] Actions give_up(const NodeState& state, const std::string& why);
  [[nodiscard]] Actions on_ready(const NodeState& state, const std::string& from,
                                 const Handover& message);
  [[nodiscard]] Actions on_drained_message(const NodeState& state, const Handover& message);
  [[nodiscard]] Actions follow_successor(const NodeState& state, const LineageStep& step);
  [[nodiscard]] Actions on_refused(const NodeState& state, const Handover& message,
                                   const Reign& fresh);

  Memory memory_;
};

// --- the successor
// ---------------------------------------------------------------------------------------------------

// This node as it stands now.
struct TakerFacts {
  std::string primary;  // the node it follows over a connection; empty: none
  Reign following;      // that one's; `durable` is of it from its first cut on
  Position durable;     // tree and index are
  Fingerprint content;  // at `durable`; unset: not known
  Fingerprint identity;
  bool synced = false;      // scans have ended, nothing is owed to it
  bool incomplete = false;  // Hello::incomplete
  uint64_t held_keys = 0;   // drift, refusals
  // Its index is gone, and nothing shows that it was never the primary (a stamp in the tree would).
  bool history_lost = false;
};

class TakingOver {
 public:
  struct Memory {
    Bits128 token;  // whose final cut is awaited
    std::string peer;
    Reign reign;
    CutNumber cut;
    MonotonicTime say_again{};  // prepared
  };

  // A hello of any peer, each time. The primary that asked is asked whether it still means it.
  [[nodiscard]] Actions on_hello(const NodeState& state, const std::string& from,
                                 MonotonicTime now);
  // prepare, drain, grant, abort.
  [[nodiscard]] Actions on_message(const NodeState& state, const std::string& from,
                                   const Handover& message, const TakerFacts& facts,
                                   const Reign& fresh);
  // More is durable than before.
  [[nodiscard]] Actions on_durable(const NodeState& state, const TakerFacts& facts);
  [[nodiscard]] Actions on_time(const NodeState& state, MonotonicTime now);
  [[nodiscard]] std::optional<MonotonicTime> deadline(const NodeState& state) const;

  [[nodiscard]] const Memory& memory() const { return memory_; }

 private:
  [[nodiscard]] Actions on_prepare(const NodeState& state, const std::string& from,
                                   const Handover& asked, const TakerFacts& facts) const;
  [[nodiscard]] Actions on_drain(const NodeState& state, const std::string& from,
                                 const Handover& asked, const TakerFacts& facts);
  [[nodiscard]] Actions on_grant(const NodeState& state, const std::string& from,
                                 const Handover& asked, const TakerFacts& facts,
                                 const Reign& fresh) const;

  Memory memory_;
};

}  // namespace repl::role
