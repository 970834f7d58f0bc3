// applier.h: a cut, from its records to the tree: prepare as records arrive, publish at the end,
// make durable later.
//
// begin → put / remove (anything wrong with a record is an Error{protocol}: nothing was published,
// close) → publish → take_sync_work → SyncWork::run on the sync thread → on_synced. Nothing of the
// tree changes before publish(). An Error of publish() or put() that concerns the disk has
// Remedy::retry: nothing is acknowledged, the same cut arrives again; what had been published by
// then is found equal. Until it has arrived, and while a key is to be sent again, the index holds
// meta "incomplete".
//
// A crash in a publish is undone by the constructor's caller through recover() (recovery.h). So is
// what fault() tells of: nothing more is made durable, and the tree is to be opened again.
//
// Bounds: one cut at a time; limits::held_fds_max descriptors wait for a sync. Thread: one owner.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/apply/content_builder.h"
#include "engine/apply/workshop.h"

namespace repl::apply {

inline constexpr std::string_view incomplete_meta = "incomplete";
// What the tree is, as of the last cut, if it is not a state that the primary's tree had:
// "unordered" (the cut could not be exact), "loose" (large files are under way), "partial" (not a
// whole cut). Unlike `incomplete` it is what a recovery leads back to.
inline constexpr std::string_view consistency_meta = "consistency";

struct PublishResult {
  uint64_t published = 0;
  uint64_t adopted = 0;  // were as the record says already
  uint64_t kept = 0;     // drifted versions put aside
  std::vector<Refused> refused;
  std::vector<std::string> notices;  // for people
};

class Applier {
 public:
  // All outlive the applier. `root` is the tree's root, on the same mount as the staging area.
  [[nodiscard]] static Result<std::unique_ptr<Applier>> make(Fd root, Staging& staging,
                                                             Index& index, const Policy& policy,
                                                             OnDrift on_drift, Log& log);

  [[nodiscard]] Status begin(const CutBegin& begin);
  [[nodiscard]] Status put(Put put);
  [[nodiscard]] Status remove(const Remove& remove);
  // Is the cut whole: every record, every content, no cycle?
  [[nodiscard]] Status check_end(const CutEnd& end);
  // Checks it first. `position` goes into the index with the cut's entries by `store_position`.
  [[nodiscard]] Result<PublishResult> publish(
      const CutEnd& end, bool settled, const std::function<void(const Position&)>& store_position);
  // In the middle of a cut: what was prepared goes.
  void abandon();
  // The connection ended. What is owed is found by the comparison that follows (incomplete_meta).
  void end_session();

  // Nothing while the index commits another batch, when everything is durable, or after a fault.
  [[nodiscard]] std::optional<SyncWork> take_sync_work();
  // From the owner, after SyncWork::run. Work whose commit failed is the next to be taken; a failed
  // sync is a fault.
  void on_synced(SyncWork work, const Status& status);

  // Whole cuts published so far.
  [[nodiscard]] uint64_t ends() const { return ends_; }
  // Only recover() helps: a sync failed, or what was moved could not go back.
  [[nodiscard]] const std::optional<Error>& fault() const { return fault_; }

  // Something was published or put aside that is not durable yet.
  [[nodiscard]] bool work_pending() const { return work_pending_ || failed_work_.has_value(); }

  [[nodiscard]] const SecondCopies& second_copies() const { return second_; }
  [[nodiscard]] ContentBuilder& contents() { return *contents_; }
  [[nodiscard]] io::DirCache& dirs() { return dirs_; }
  [[nodiscard]] Holds& holds() { return holds_; }
  [[nodiscard]] bool in_cut() const { return cut_.open; }
  // Looks at every held key again: those that are as the primary wants them are adopted, those that
  // are as the index recorded them are asked for again (Refused{hold=false}).
  [[nodiscard]] Result<std::vector<Refused>> recheck_holds();

 private:
  Applier(Fd root, Staging& staging, Index& index, const Policy& policy, OnDrift on_drift,
          Log& log);
  Status check_key(const Key& key, bool is_directory) const;
  [[nodiscard]] bool knows_parent(const Key& key) const;
  Status check_put(const Put& put) const;
  // Where the key will be after this cut; nothing if its parent is unknown.
  std::optional<std::string> final_path(const Key& key) const;
  std::optional<Key> final_place(DirId dir) const;
  Status check_no_cycle() const;
  Status prepare(Item& item, Content content);
  Status prepare_directory(Item& item);
  bool leaves_links(const Item& item) const;
  Status prepare_regular(Item& item, Content& content);
  Status prepare_special(Item& item);
  Status prepare_inline(Item& item, const std::string& bytes);
  Status make_object(Item& item,
                     const std::function<Result<Fd>(int dir, const std::string& name)>& make);
  // The staged parent and the final name, or new/ and a fresh one.
  Result<Slot> slot_for(const Item& item, bool& in_place);
  Status item_failed(Item& item, const Error& error);
  void discard_unused();
  void settle_owed();
  void note_consistency(const CutEnd& end);
  void drop_lost_holds();
  void drop_unused_stages();
  void make_room(const Error& error);
  void let_second_copies_go();

  Staging& staging_;
  Index& index_;
  const Policy& policy_;
  io::DirCache dirs_;
  StagedDirs staged_;
  Holds holds_;
  Owners owners_;
  SecondCopies second_;
  std::unique_ptr<ContentBuilder> contents_;
  CutState cut_;
  SyncWork work_;
  std::optional<SyncWork> failed_work_;  // to be run again before any other
  std::optional<Error> fault_;
  bool work_pending_ = false;
  uint64_t ends_ = 0;
  Workshop shop_;
  size_t spread_ = 0;
};

// Sets and reads back the attributes of a prepared object; the error names the attribute that would
// not hold.
[[nodiscard]] Result<io::Stat> dress(int fd, const Attributes& want, bool just_created);

}  // namespace repl::apply
