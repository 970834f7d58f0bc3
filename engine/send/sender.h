// sender.h: brings one connected peer to the primary's state and keeps it there. A state machine
// without I/O of its own: it reads the index and a ContentSource, and speaks through an Outbox.
//
//   start(plan) ─┬─ first_sync: the whole index, in pieces ──────────────┐
//                ├─ changes: candidates from the log, asked in batches ──┼→ one cut → live
//                ├─ compare: descent by fingerprints ────────────────────┘
//                └─ in_sync ───────────────────────────────────────────────────────→ live
//
// "A bit behind" and "far behind" are one path that differs in its set of candidates. Live cuts
// wait in a bounded queue; past the bound the queue is dropped and the log is asked instead. A key
// that the peer refuses is sent whole in a following cut. After `applied`, when both sides know
// every content, nothing is held and no newer cut is on its way, root fingerprints must be equal;
// if not, the trees are compared, once per cut. A peer that lacks nothing but what is withheld
// (SenderCallbacks) is as equal as it can be.
//
// Large contents do not keep later cuts waiting: as soon as one waits, a cut ends without them
// (`loose`), they go on in the background, and each is put into whatever cut is open when it is
// there, or into one of its own under the number of the last cut; cut_writer.h and order_keeper.h
// say what else waits for them. With Plan::strict later cuts wait instead.
//
// A first sync promises nothing before its end: a small cut that is made meanwhile is told in the
// piece that is open, and that piece ends, so that a lone change does not wait for the tree.
//
// Thread: one owner; one Sender per connection. Memory: candidates are keys with what the peer has
// there (limits::dirty_keys_max; beyond it changes become a comparison, and a comparison's cut
// begins before its descent ends), live_batches_max cuts, and what CutWriter states.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/base/limits.h"
#include "engine/send/compare.h"
#include "engine/send/cut_writer.h"
#include "engine/send/outbox.h"

namespace repl::send {

enum class PlanMode : uint8_t { first_sync, changes, compare, in_sync };

struct Plan {
  PlanMode mode = PlanMode::compare;
  Epoch epoch;
  Reign reign;
  CutNumber cut;              // the tree's now
  bool exact = true;          // the index is what the tree was at that cut
  CutNumber since;            // the peer's; changes only
  bool strict = false;        // no cut is published before the large contents of earlier ones
  bool disown_extra = false;  // what only the peer has stays on its disk (mirror without --delete)
  std::vector<StageProgress> stages;  // from the peer's Hello
};

enum class SendPhase : uint8_t { idle, asking, comparing, cutting, live };

struct SenderStatus {
  SendPhase phase = SendPhase::idle;
  PlanMode mode = PlanMode::in_sync;  // of the run that is under way, or was last
  uint64_t files_done = 0;            // of this run
  uint64_t files_total = 0;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;          // first sync only, else what is done
  std::array<CutNumber, 3> acked{};  // by AckLevel
  CutNumber sent;                    // last whole cut
  size_t cuts_pending = 0;
  uint64_t held_keys = 0;   // as the peer counts them, and what it refused too often
  uint64_t refused = 0;     // keys to be sent again, so far
  uint64_t mismatches = 0;  // fingerprints that differed after a cut
  uint64_t fallbacks = 0;   // times that the live queue was dropped
  CutNumber loose_since;   // unset: it is not; the first cut that ended without some of its records
  size_t large_files = 0;  // under way
  size_t held_back = 0;    // keys that wait for them
  uint64_t hot_files = 0;  // published as they were read, since they never held still; so far
  int torn_reads = 0;     // in a row, of what waits to be read again: read_torn_again(); 0: nothing
  uint64_t withheld = 0;  // keys that the peer lacks, or has older, and that cannot be sent
  std::optional<Fingerprint> without_held;  // the peer's content, if nothing else differs
  bool in_sync = false;                     // live, nothing pending, all applied
  bool owes = false;                        // something of an acknowledged cut must be sent again
  bool differs = false;                     // after the trees were compared at this very cut
  bool unproved = false;  // the last cut was not compared with the peer's fingerprint, and can be
};

class Sender {
 public:
  // `seed` of fingerprints (fingerprint_seed of the tree's name).
  Sender(const Index& index, uint64_t seed, ContentSource& source, Outbox& outbox,
         SenderCallbacks callbacks, Log& log);
  ~Sender();

  void start(const Plan& plan);
  // An Error is the peer's breach of the protocol: close the connection. Messages of others are
  // ignored.
  [[nodiscard]] Status on_message(const Message& message);
  // Each cut of the primary, in order. The index has it already.
  void on_cut(std::shared_ptr<const CutBatch> batch);
  // Compares the peer's fingerprint with the index's, where the cut itself had none to compare
  // with. Call when nothing is dirty. True: they differ, and the trees are compared: pump.
  bool prove();
  // A content cannot be read: nobody waits for a proof at this cut.
  void not_provable() { unproved_ = false; }
  // What did not hold still while it was read is read again: pump.
  void read_torn_again() { writer_.read_torn_again(); }
  // Works until the outbox is full, nothing is left to do, or limits::pump_bytes_max were sent:
  // then true, call again.
  bool pump();

  [[nodiscard]] SenderStatus status() const;
  // It has so much before it that another cut would only wait.
  [[nodiscard]] bool busy() const {
    return diverted_ || queue_.size() - told_early_ >= limits::cuts_ahead_max ||
           queue_bytes_ >= limits::cut_inline_bytes_max;
  }
  [[nodiscard]] const MethodCounters& counters() const { return writer_.counters(); }

 private:
  struct Walk {
    DirId dir;
    std::string cursor;
  };

  void emit(Message message, Lane lane);
  void ask(Message message);
  bool flush();

  bool step();
  bool step_asking();
  bool step_comparing();
  bool step_cutting();
  bool step_live();

  void begin_run(PlanMode mode);
  void begin_changes();
  void begin_compare();
  void add_link_names();
  void sort_parents_first(std::vector<Candidate>& found) const;
  void begin_cut(bool first_sync);
  void open_writer(const CutBegin& begin, CutNumber peer_at);
  void begin_completion();
  void merge_queue();
  [[nodiscard]] bool index_is_ahead() const;
  void note_inexact(CutNumber cut);
  [[nodiscard]] bool goes_on_without();
  [[nodiscard]] bool newer_waits() const { return !queue_.empty() || diverted_; }
  [[nodiscard]] bool has_large() const;
  void end_cut();
  void begin_resend();
  bool next_of_first_sync();
  bool tell_early();
  [[nodiscard]] bool tell_now(const CutBatch& batch);
  bool feed_writer();
  void give(Candidate next);
  [[nodiscard]] bool give_parents(DirId dir, bool all);
  [[nodiscard]] bool give_once(const Candidate& next);
  [[nodiscard]] Candidate candidate_at(const Key& key, bool removed) const;
  void divert();
  void clear_queue();
  [[nodiscard]] std::shared_ptr<const CutBatch> take_queued(size_t at);
  void catch_up(bool merged);
  void found(Candidate candidate);
  void remove_moved_off();
  [[nodiscard]] bool owes_sending() const;
  [[nodiscard]] bool caught_up() const;
  void judge_equality();

  [[nodiscard]] Status on_answer(const KeysAnswer& answer);
  void on_ack(const Ack& ack);
  void on_refused(const Refused& refused);
  void judge(const KeyInfo& theirs, const Candidate& asked);

  const Index& index_;
  uint64_t seed_;
  ContentSource& source_;
  Outbox& outbox_;
  SenderCallbacks callbacks_;
  Log& log_;

  Plan plan_;
  SendPhase phase_ = SendPhase::idle;
  PlanMode mode_ = PlanMode::in_sync;
  CutNumber tree_cut_;      // the newest that we know of
  CutNumber moved_at_;      // the newest that changed something
  bool tree_exact_ = true;  // the newest is what the tree was at a moment
  // Up to this cut none is exact: the peer has something that only a later one knows of. What it
  // has so of single keys the writer knows.
  CutNumber inexact_until_;
  bool told_exact_ = true;  // the last cut was told as exact
  CutNumber merging_;       // number of the merged cut that is being made
  CutNumber sent_;          // last cut that was sent whole

  std::deque<Message> out_;         // bulk that the outbox did not take yet
  std::deque<Message> background_;  // likewise
  size_t pumped_ = 0;               // bytes since pump() began

  std::deque<Candidate> candidates_;  // of the merged cut
  std::deque<Candidate> to_ask_;      // changes: not yet asked
  std::deque<std::vector<Candidate>> asked_;
  std::unique_ptr<Comparer> comparer_;
  std::unordered_set<Key> given_;         // keys of this cut's records
  std::unordered_set<DirId> given_dirs_;  // directories among them
  std::deque<Walk> walk_;                 // first sync: directories to walk
  bool walk_root_ = false;
  uint64_t piece_records_ = 0;
  uint64_t piece_began_bytes_ = 0;
  bool piece_full_ = false;

  CutWriter writer_;
  bool was_loose_ = false;   // when the cut began
  bool completing_ = false;  // the cut is for what was under way
  int steps_waited_ = 0;     // of large contents, while a newer cut waits for this one
  CutNumber loose_since_;
  std::shared_ptr<const CutBatch> live_;  // being sent
  size_t live_at_ = 0;
  std::deque<std::shared_ptr<const CutBatch>> queue_;
  uint64_t queue_bytes_ = 0;
  size_t told_early_ = 0;  // of queue_, from its front: the first sync was through with them
  bool diverted_ = false;  // the queue was dropped: the log says what is missing
  int catch_ups_ = 0;      // merged cuts one after the other

  struct Refusals {
    int times = 0;
    CutNumber sent_again;  // what was refused of an earlier cut is settled by that
  };
  std::unordered_map<Key, Refusals> refusals_;
  std::unordered_set<Key> resend_;
  std::unordered_set<Key>
      given_up_;  // refused too often; a comparison, or their next cut, tries again
  std::vector<Candidate> moved_off_;  // where peers have directories that live elsewhere with us
  uint64_t refusals_settled_ = 0;     // of status_.refused
  uint64_t ends_sent_ = 0;
  uint64_t owed_until_ = 0;               // when so many are durable, what was sent again is
  std::array<uint64_t, 3> ends_acked_{};  // by AckLevel

  struct Equality {
    Fingerprint content;
    Fingerprint identity;
    bool operator==(const Equality&) const = default;
  };
  std::optional<Equality> applied_;  // the peer's, as of its last acknowledgement
  bool exact_ = false;               // the last cut was, and its fingerprint is known
  bool unproved_ = false;
  bool differs_ = false;
  CutNumber compared_for_;
  int compares_ = 0;  // at that cut
  bool compare_wanted_ = false;
  // The last comparison found nothing to send, but so much that is withheld.
  uint64_t only_withheld_ = 0;
  std::optional<Equality> without_held_;  // what the peer was then
  SenderStatus status_;
};

}  // namespace repl::send
