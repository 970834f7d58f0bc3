// primary.h: a node that sends: scans, watches, makes cuts, and keeps one sender per connected
// peer.
//
// Every start begins in a scan: until it has ended nothing is sent. Lost events are another scan. A
// cut leaves as soon as there is nothing else to do; under load what came meanwhile is the next
// one.
//
// Thread: the engine's.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/change/cut_builder.h"
#include "engine/change/observer.h"
#include "engine/run/committer.h"
#include "engine/run/content_walk.h"
#include "engine/run/facts.h"
#include "engine/run/peer_sender.h"
#include "engine/run/record_scan.h"
#include "engine/run/role_change.h"
#include "engine/run/session.h"
#include "engine/run/signature_keeper.h"
#include "engine/run/sync_thread.h"
#include "engine/run/tree_parts.h"
#include "engine/run/verifier.h"
#include "engine/run/waiters.h"

namespace repl::run {

class Primary final : public Duty {
 public:
  Primary(TreeParts& parts, SyncThread& sync, std::function<void()> wake);
  ~Primary() override;

  void on_hint(const Key& key, uint32_t bits) override;
  void on_lost(std::optional<DirId> below, const std::string& reason) override;
  [[nodiscard]] bool step(MonotonicTime now) override;
  [[nodiscard]] std::optional<MonotonicTime> deadline() const override;
  [[nodiscard]] bool may_scrub() const override { return idle() && !verifier_.running(); }
  void on_scrub_changed(const Key& key) override { on_hint(key, hint_modified | hint_closed); }
  // It is sent to nobody: nothing says that it changed.
  void on_rot(const Key&) override {}
  void describe(Hello& hello) const override;
  void on_hello(Session& session, Hello self) override;
  [[nodiscard]] Status on_message(Session& session, const Message& message) override;
  void on_closed(Session& session) override;
  void tell_events(TreeEvents& events) const override;
  void stop() override;
  [[nodiscard]] bool read_contents() override;
  [[nodiscard]] Status flush() override;

  // Call with the kernel's events drained.
  void wait(const WaitRequest& request, std::function<void(WaitAnswer)> answer);
  void verify(const VerifyOptions& options, std::function<void(VerifyAnswer)> answer);
  // What is held was meant: those removals are recorded and sent. How many entries go.
  [[nodiscard]] Result<uint64_t> approve();
  void describe(TreeFacts& facts) const;
  // It gives way: whoever waits is told so. The engine closes the connections, and makes no others.
  void fence(const std::string& why);
  // The index knows what is on the disk, as far as a scan that cannot end lets it.
  [[nodiscard]] bool scanned() const { return !scan_ || emptied_; }
  [[nodiscard]] bool settled() const {
    return scanned() && parts_.changes.empty() && !parts_.changes.rescan_needed();
  }
  // How a peer follows, for a switchover to it.
  struct Following {
    bool synced = false;
    bool exact = false;  // its last cut was, and no content is under way
    Duration lag{};      // age of the oldest cut that is not durable there
    uint64_t held_keys = 0;
  };
  [[nodiscard]] Following following(const std::string& node) const;
  [[nodiscard]] bool holds_removals() const { return emptied_ || !held_removals_.empty(); }
  // One more cut, exact, without items if nothing changed; its number once it is made and the peer
  // owes nothing that was to be sent before it.
  void want_final_cut();
  [[nodiscard]] std::optional<CutNumber> final_cut(const std::string& node) const;
  // Peers that are not known to have all there is.
  [[nodiscard]] std::vector<RoleChange::Behind> behind() const;
  // After stop(): what only a primary keeps is forgotten.
  void let_go();
  // Asked by the cut builder between its rounds; set by the engine.
  void drain_with(std::function<void()> drain) { drain_ = std::move(drain); }

 private:
  void start_scan(std::vector<DirId> below);
  void step_scan();
  void end_scan();
  [[nodiscard]] std::optional<MonotonicTime> cut_held_until() const;
  [[nodiscard]] bool cut_is_due(MonotonicTime now) const;
  void make_cut(MonotonicTime now);
  void note_troubles(const std::vector<RecordScan::Trouble>& troubles);
  void report_unreadable(MonotonicTime now);
  void left_out(const Key& key, const Error& why);
  void retry_unreadable(MonotonicTime now);
  void recall_owed();
  void forget_owed();
  void sent_with(const CutBatch& batch);
  [[nodiscard]] std::optional<Error> content_error(const Key& key) const;
  void watch_failed(const Error& why);
  void report_held();
  void describe_held(TreeFacts& facts) const;
  [[nodiscard]] std::vector<std::string> held_paths() const;
  [[nodiscard]] std::optional<Fingerprint> without_held(const std::string& node) const;
  void verify_peers(const VerifyOptions& options, std::vector<std::string> peers,
                    const std::string& only, std::function<void(VerifyAnswer)> answer);
  void verify_for(const Session& session, const VerifyRequest& request);
  void step_waiters(MonotonicTime now);
  [[nodiscard]] bool step_proofs(MonotonicTime now);
  void begin_digests();
  void step_digests();
  void content_known(const Key& key, const Attributes& attr, const Digest& digest,
                     const std::vector<Digest>& blocks);
  void before_commit();
  [[nodiscard]] bool idle() const;
  void advance_to(CutNumber cut, MonotonicTime now);
  [[nodiscard]] PeerStanding standing_of(const std::string& node) const;
  [[nodiscard]] bool synced() const { return !scan_ && !emptied_; }

  TreeParts& parts_;
  std::function<void()> wake_;
  std::function<void()> drain_;
  change::HeldRemovals held_removals_;
  change::Observer observer_;
  change::CutBuilder builder_;
  Committer committer_;
  std::unique_ptr<RecordScan> scan_;
  CutNumber scan_cut_;
  bool held_said_ = false;
  bool emptied_ = false;  // the root lost everything: held until approved
  std::unique_ptr<ContentWalk> digests_;
  std::map<const Session*, std::unique_ptr<PeerSender>, SessionOrder> senders_;
  std::map<const Session*, PeerStanding, SessionOrder>
      held_;                                  // peers that are sent nothing until a person decides
  std::map<std::string, CutNumber> durable_;  // by node, of this lineage; kept while a peer is away
  std::deque<std::pair<CutNumber, MonotonicTime>> cut_times_;
  MonotonicTime cut_made_at_{};
  Waiters waiters_;
  Verifier verifier_;
  send::FsContentSource contents_;
  SignatureKeeper signatures_;
  uint64_t unordered_cuts_ = 0;
  // The index is a state that the tree had, and every peer has or gets a cut that is. If not, a cut
  // without items says so when it is again, should none with items come.
  bool exact_ = true;
  CutNumber final_after_;  // of a switchover: the cut before the final one
  // What could not be read, and is tried again.
  struct Unread {
    std::string reason;
    bool unsent = false;  // a cut went without it
  };
  std::map<Key, Unread> unreadable_;
  std::set<Key> owed_;     // a cut went without them, and none has come since that has them
  std::set<Key> retried_;  // not for the first time, if they are in `unreadable_`
  std::vector<std::string> scan_errors_;  // what is not watched, holds_listed_max of it
  std::optional<MonotonicTime> retry_at_;
  CutNumber digested_for_;  // contents that were not known were read, for a proof at that cut
  std::optional<MonotonicTime> prove_at_;    // peers whose last cut proved nothing are compared
  std::optional<MonotonicTime> rewatch_at_;  // a scan, since something is not watched
};

}  // namespace repl::run
