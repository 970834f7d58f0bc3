// secondary.h: a node that receives: checks at its start that the tree is what apply recorded, then
// applies the primary's cuts and watches for drift. A node without lineage is one, too: it looks at
// what it has and waits.
//
// Thread: the engine's; fsync and commits on the sync thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/apply/applier.h"
#include "engine/apply/receiver.h"
#include "engine/change/observer.h"
#include "engine/role/contact.h"
#include "engine/run/catch_up.h"
#include "engine/run/committer.h"
#include "engine/run/content_walk.h"
#include "engine/run/drift.h"
#include "engine/run/facts.h"
#include "engine/run/record_scan.h"
#include "engine/run/session.h"
#include "engine/run/sync_thread.h"
#include "engine/run/tree_parts.h"
#include "engine/run/tree_proof.h"

namespace repl::run {

class Secondary final : public Duty {
 public:
  // Undoes an unfinished publish of the last run, then begins the start scan.
  [[nodiscard]] static Result<std::unique_ptr<Secondary>> make(TreeParts& parts, SyncThread& sync,
                                                               std::function<void()> wake);
  ~Secondary() override;

  void on_hint(const Key& key, uint32_t bits) override;
  void on_lost(std::optional<DirId> below, const std::string& reason) override;
  [[nodiscard]] bool step(MonotonicTime now) override;
  [[nodiscard]] std::optional<MonotonicTime> deadline() const override;
  [[nodiscard]] bool may_scrub() const override { return at_rest() && !walk_ && !verify_; }
  void on_scrub_changed(const Key& key) override { on_hint(key, hint_modified); }
  void on_rot(const Key& key) override;
  void describe(Hello& hello) const override;
  void on_hello(Session& session, Hello self) override;
  [[nodiscard]] Status on_message(Session& session, const Message& message) override;
  void on_closed(Session& session) override;
  [[nodiscard]] Status health() const override;
  void tell_events(TreeEvents& events) const override;
  void stop() override;

  // The primary's versions of what is held go in, the local ones are kept. How many.
  [[nodiscard]] Result<uint64_t> approve();
  // Brings this node up to date with a primary whose connection stands, whatever is here.
  void catch_up(Session& session, CatchUpRequest request) {
    catch_up_->begin(session, std::move(request));
  }
  [[nodiscard]] bool catching_up() const { return catch_up_->running(); }
  // The node that it follows over a connection; or empty.
  [[nodiscard]] std::string follows() const {
    return primary_ == nullptr ? std::string() : primary_->peer;
  }
  // The reign that it follows there.
  [[nodiscard]] Reign followed_reign() const {
    return primary_ == nullptr || lineage_.empty() ? Reign{} : lineage_.back().reign;
  }
  [[nodiscard]] uint64_t held_count() const { return applier_->holds().size(); }
  // It has looked at its tree, and nothing of a cut is under way to the disk.
  [[nodiscard]] bool ready() const { return ready_to_meet(); }
  [[nodiscard]] bool scanned() const { return synced(); }
  // The tree is what the index says, the index what the position says, durably.
  [[nodiscard]] bool rests() const { return at_rest(); }
  // What a catch-up would keep aside of this key's present version: it changed here since the last
  // position that both had.
  [[nodiscard]] bool would_keep(const Session& session, const Key& key) const;
  [[nodiscard]] bool read_contents() override;
  [[nodiscard]] Status flush() override;
  void describe(TreeFacts& facts) const;
  // Paths that are held, escaped and bounded, and how many there are.
  void list_holds(std::vector<std::string>& paths, uint64_t& count) const;
  // Up to which cut all of the primary's is here, if not up to the position: a path that is held
  // was changed there since, or a cut is not whole.
  [[nodiscard]] std::optional<CutNumber> whole_to() const;
  // After stop(), of a node that becomes the primary: nothing is held any more, and what is here is
  // the tree. The log of changes tells nobody what he lacks: peers that are behind are compared.
  void let_go();
  // Asked at the end of a proof: the kernel's events become hints; set by the engine.
  void drain_with(std::function<void()> drain) { drain_ = std::move(drain); }

 private:
  Secondary(TreeParts& parts, SyncThread& sync, std::function<void()> wake);
  void start_scan();
  [[nodiscard]] bool drifted_alone() const;
  [[nodiscard]] role::ReceiveDecision decide(const Session& session) const;
  void lend_to_catch_up();
  void scan_for_catch_up(bool record);
  void drop_holds();
  void step_scan();
  void step_walk();
  void step_sync(MonotonicTime now);
  void take_synced(MonotonicTime now);
  void finish_sync();
  void look_at_hints();
  void recheck_holds();
  void watch_below(DirId dir);
  void step_new_dirs();
  void tell_holds();
  void repair_drift();
  void begin_digests();
  void answer(Message message, bool bulk);
  void send_answers();
  void begin_verify(const VerifyRequest& request);
  void begin_proof();
  void step_proof();
  void take_verified(const ContentWalk::Found& found);
  void answer_verify();
  void store_position(const Position& position);
  [[nodiscard]] bool has_history() const { return parts_.state.position.reign.is_set(); }
  // What is on disk is recorded, not checked for drift: no history and no primary yet, or a
  // mirror's copy.
  [[nodiscard]] bool records() const;
  [[nodiscard]] bool synced() const { return !record_scan_ && !drift_scan_; }
  // Contact speaks of what is durable: while a published cut is not, nobody is met.
  [[nodiscard]] bool ready_to_meet() const {
    return synced() && !syncing_ && !applier_->work_pending();
  }
  // The tree is what the index says, the index what the position says, and nothing is under way.
  [[nodiscard]] bool at_rest() const {
    return ready_to_meet() && !applier_->in_cut() && hints_.empty() && !rescan_wanted_ &&
           !new_dirs_wait_ && !parts_.index->meta(apply::incomplete_meta);
  }

  TreeParts& parts_;
  SyncThread& sync_;
  std::function<void()> wake_;
  std::function<void()> drain_;
  change::Observer observer_;
  std::unique_ptr<apply::Applier> applier_;
  std::unique_ptr<apply::Receiver> receiver_;
  std::unique_ptr<DriftCheck> drift_;
  std::unique_ptr<CatchUp> catch_up_;
  Session* primary_ = nullptr;  // accepted
  Lineage lineage_;             // of its reign: ours as of its first cut
  bool diverged_ = false;       // what is here keeps the primary off
  std::unique_ptr<RecordScan> record_scan_;
  std::unique_ptr<DriftScan> drift_scan_;
  std::unique_ptr<ContentWalk> walk_;
  std::unique_ptr<DriftScan> new_dirs_;  // watches and looks into directories that appeared
  bool new_dirs_wait_ = false;
  std::map<Key, uint32_t> hints_;
  bool rescan_wanted_ = false;
  uint64_t told_holds_ = 0;      // to this primary
  std::deque<Message> answers_;  // bulk that the link did not take yet
  std::optional<apply::SyncWork> syncing_;
  StampValue frozen_;  // of its batch
  std::optional<MonotonicTime> sync_retry_;
  std::string sync_error_;
  Committer committer_;
  struct Verify {
    VerifyRequest request;
    VerifyReply reply;
    std::unique_ptr<TreeProof> proof;
    bool disturbed = false;  // what was read is not one position's
    void disturb() const {
      if (proof) proof->disturb();
    }
  };
  std::optional<Verify> verify_;
  std::deque<VerifyRequest> verify_queue_;  // while verify_ or walk_ reads
  std::vector<std::string> troubles_;
};

}  // namespace repl::run
