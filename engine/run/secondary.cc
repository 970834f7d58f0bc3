#include "engine/run/secondary.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "engine/apply/recovery.h"
#include "engine/base/limits.h"
#include "engine/delta/signature.h"
#include "engine/role/contact.h"
#include "engine/role/node_state.h"
#include "engine/role/parting.h"

namespace repl::run {

namespace {

constexpr uint64_t walk_step_bytes = 64 << 20;

}  // namespace

Secondary::Secondary(TreeParts& parts, SyncThread& sync, std::function<void()> wake)
    : parts_(parts),
      sync_(sync),
      wake_(std::move(wake)),
      drain_([] {}),
      observer_(parts.observer_parts()),
      committer_(parts, sync, [this] { parts_.store_state(); }) {}

Result<std::unique_ptr<Secondary>> Secondary::make(TreeParts& parts, SyncThread& sync,
                                                   std::function<void()> wake) {
  std::unique_ptr<Secondary> secondary(new Secondary(parts, sync, std::move(wake)));
  const int root = ::fcntl(parts.dirs->root(), F_DUPFD_CLOEXEC, 0);
  if (root < 0) return fail_errno("duplicate the root's descriptor");
  Fd root_fd(root);
  Result<apply::Recovery> recovered =
      apply::recover(root_fd.get(), *parts.staging, *parts.index, parts.log);
  if (!recovered) return fail(recovered.error());
  // What was planned may be on the disk in part: compared at the next contact.
  if (!recovered->planned_keys.empty()) parts.index->put_meta(apply::incomplete_meta, "1");
  const apply::OnDrift on_drift = parts.options.standing == Standing::configured
                                      ? apply::OnDrift::hold
                                      : apply::OnDrift::keep_and_replace;
  auto applier = apply::Applier::make(std::move(root_fd), *parts.staging, *parts.index,
                                      parts.options.policy, on_drift, parts.log);
  if (!applier) return fail(applier.error());
  secondary->applier_ = std::move(*applier);
  secondary->drift_ =
      std::make_unique<DriftCheck>(parts, secondary->observer_, secondary->applier_->holds());
  secondary->lend_to_catch_up();
  secondary->start_scan();
  return secondary;
}

Secondary::~Secondary() { sync_.wait(); }

bool Secondary::records() const {
  // Once a primary was told what a joining node has, what comes here is nobody's but this node's.
  const bool joins = !has_history() && !receiver_;
  return joins || parts_.options.standing == Standing::mirror_copy;
}

void Secondary::on_hint(const Key& key, uint32_t bits) {
  hints_[key] |= bits;
  if (verify_) verify_->disturb();
  if (hints_.size() > limits::dirty_keys_max) {
    hints_.clear();
    rescan_wanted_ = true;
  }
}

void Secondary::on_lost(std::optional<DirId>, const std::string&) {
  rescan_wanted_ = true;
  if (verify_) verify_->disturb();
}

// --- what is on disk
// -----------------------------------------------------------------------------------------

void Secondary::start_scan() {
  parts_.dirs->next_generation();
  rescan_wanted_ = false;
  hints_.clear();
  troubles_.clear();
  if (records() || catch_up_->recording()) {
    CutNumber cut = parts_.state.position.cut;
    if (catch_up_->recording()) ++cut.value;  // what was changed unseen is newer than what came
    record_scan_ = std::make_unique<RecordScan>(parts_, observer_, nullptr, cut, wake_);
    record_scan_->accept_emptied_root();
    record_scan_->begin(root_dir);
  } else {
    drift_scan_ = std::make_unique<DriftScan>(parts_, *drift_, wake_);
    drift_scan_->begin(root_dir);
  }
}

void Secondary::step_scan() {
  if (record_scan_ && record_scan_->step()) {
    for (const Error& error : record_scan_->watch_errors()) troubles_.push_back(error.message);
    for (const auto& trouble : record_scan_->troubles()) troubles_.push_back(trouble.reason);
    if (has_history() && record_scan_->changed()) {
      parts_.index->put_meta(apply::incomplete_meta, "1");
      parts_.index->put_meta(apply::consistency_meta, "partial");
    }
    parts_.log.info("{}: scanned {} entries", parts_.options.name, record_scan_->seen());
    record_scan_.reset();
    begin_digests();
  }
  if (drift_scan_ && drift_scan_->step()) {
    troubles_ = drift_scan_->take_troubles();
    parts_.log.info("{}: scanned {} entries, {} drifted", parts_.options.name, drift_scan_->seen(),
                    applier_->holds().size());
    drift_scan_.reset();
    recheck_holds();
  }
}

void Secondary::lend_to_catch_up() {
  catch_up_ = std::make_unique<CatchUp>(
      parts_, CatchUp::Lent{.scan = [this](bool record) { scan_for_catch_up(record); },
                            .scanned = [this] { return synced() && !rescan_wanted_ && !walk_; },
                            .drop_holds = [this] { drop_holds(); },
                            .flush = [this] { return flush(); },
                            .at_rest = [this] { return at_rest(); },
                            .held = [this] { return applier_->holds().size(); }});
}

void Secondary::scan_for_catch_up(bool record) {
  if (record) parts_.renew_ids();
  drift_scan_.reset();
  rescan_wanted_ = true;
  wake_();
}

void Secondary::drop_holds() {
  std::vector<Key> held;
  for (const auto& [key, hold] : applier_->holds().all()) held.push_back(key);
  for (const Key& key : held) applier_->holds().clear(key);
}

bool Secondary::read_contents() {
  if (!walk_ && synced()) begin_digests();
  return walk_ != nullptr || !synced();
}

bool Secondary::would_keep(const Session& session, const Key& key) const {
  if (applier_->holds().all().contains(key)) return true;
  const std::optional<Entry> entry = parts_.index->get(key);
  if (!entry || session.decided) return false;
  const auto at = role::parting(*session.said, *session.hello);
  return !at || entry->cut > at->cut;
}

// A tree that joins with content in it is compared with the primary's: every digest must be known.
void Secondary::begin_digests() {
  const std::optional<DirSummary> root = parts_.index->summary(root_dir);
  if (!root || root->unknown == 0) return;
  walk_ = std::make_unique<ContentWalk>(
      *parts_.index, *parts_.dirs, WalkKind::unknown_only, [this](const ContentWalk::Found& found) {
        if (!found.digest) return;
        parts_.index->set_content(found.key, *found.digest, found.entry.attr.size);
        if (found.blocks.size() > 1) parts_.index->put_block_table(*found.digest, found.blocks);
      });
}

void Secondary::step_walk() {
  if (!walk_->step(walk_step_bytes)) return;
  if (verify_ && !verify_->proof) {
    verify_->reply.bytes_read = walk_->bytes_read();
    walk_.reset();
    answer_verify();
    return;
  }
  walk_.reset();
}

void Secondary::look_at_hints() {
  if (applier_->in_cut()) return;
  parts_.dirs->next_generation();
  bool held = false;
  for (const auto& [key, bits] : std::exchange(hints_, {})) {
    if (!records()) {
      held = held || applier_->holds().all().contains(key);
      const DirId below = drift_->look(key);
      if (below.is_set() && (bits & (hint_created | hint_moved)) != 0) watch_below(below);
      continue;
    }
    if (has_history()) continue;  // a mirror's copy: compare-and-swap sees it when the key changes
    const change::Outcome outcome =
        observer_.look(key, hint_modified, parts_.state.position.cut, change::Contents::read_small);
    if (outcome.verdict == change::Verdict::gone || outcome.verdict == change::Verdict::excluded) {
      static_cast<void>(observer_.record_removal(key, parts_.state.position.cut));
    }
    if (outcome.list.is_set()) rescan_wanted_ = true;
  }
  if (held) recheck_holds();
}

// Held like what somebody changed here: that its times say otherwise is forgotten, so that its
// bytes are what counts.
void Secondary::on_rot(const Key& key) {
  if (records() || applier_->in_cut()) return;
  const std::optional<Entry> entry = parts_.index->get(key);
  if (!entry) return;
  LocalStat local = entry->local;
  local.ctime = {};
  parts_.index->put_local(key, local);
  on_hint(key, hint_modified);
}

// A directory that apply made entered the tree whole, by one rename: nothing below it is watched
// yet.
void Secondary::watch_below(DirId dir) {
  if (!new_dirs_) new_dirs_ = std::make_unique<DriftScan>(parts_, *drift_, wake_);
  new_dirs_->begin(dir);
  new_dirs_wait_ = true;
}

void Secondary::step_new_dirs() {
  if (!new_dirs_wait_ || applier_->in_cut() || !new_dirs_->step()) return;
  new_dirs_wait_ = false;
  for (std::string& trouble : new_dirs_->take_troubles()) troubles_.push_back(std::move(trouble));
}

// Where the way became free, the primary is asked for its version again.
void Secondary::recheck_holds() {
  if (!receiver_ || applier_->holds().size() == 0) return;
  if (Status s = receiver_->recheck_holds(); !s) troubles_.push_back(s.error().message);
}

// The primary's `wait` and `status` speak of what is held here; an Ack says it too, but none comes
// without a cut.
void Secondary::tell_holds() {
  if (!receiver_ || applier_->holds().size() == told_holds_) return;
  told_holds_ = applier_->holds().size();
  primary_->link->send(PeerNotice{.hold = {}, .held_keys = told_holds_, .error = {}}, Lane::prompt);
}

bool Secondary::step(MonotonicTime now) {
  if (rescan_wanted_ && synced() && !applier_->in_cut() && !walk_) start_scan();
  if (!synced()) step_scan();
  if (synced() && !hints_.empty()) look_at_hints();
  step_new_dirs();
  if (walk_) step_walk();
  if (verify_ && verify_->proof) step_proof();
  while (!verify_ && !walk_ && !verify_queue_.empty()) {
    const VerifyRequest next = verify_queue_.front();
    verify_queue_.pop_front();
    begin_verify(next);
  }
  send_answers();
  repair_drift();
  step_sync(now);
  tell_holds();
  const bool catching_up = catch_up_->step(now);
  // A commit that has just ended let go of the disk: what waited for it begins at once.
  const bool sync_now = applier_->work_pending() && !syncing_ && !sync_.busy() && !sync_retry_;
  return walk_ != nullptr || (verify_ && verify_->proof) || sync_now || catching_up;
}

// --- the primary
// ---------------------------------------------------------------------------------------------

void Secondary::describe(Hello& hello) const {
  hello.synced = ready_to_meet();
  hello.incomplete = parts_.index->meta(apply::incomplete_meta).has_value();
  hello.catch_up = catch_up_->agreed();
  hello.drifted = catch_up_->half_kept() || drifted_alone();
  if (Result<std::vector<StageProgress>> stages = parts_.staging->progress())
    hello.stages = std::move(*stages);
}

bool Secondary::drifted_alone() const {
  return applier_->holds().not_approved() > limits::drift_alone_max && drift_->found_alone();
}

// What was said to this peer counts: it may have begun to send on the strength of it.
role::ReceiveDecision Secondary::decide(const Session& session) const {
  Hello self = *session.said;
  self.catch_up = self.catch_up && catch_up_->agreed_with(session.peer);
  const bool join_any = parts_.options.standing == Standing::mirror_copy;
  role::ReceiveDecision decision = role::decide_receive(self, *session.hello, join_any);
  if (!decision.accept || self.catch_up) return decision;
  const std::string command =
      "`repl catchup --from " + session.peer + " " + parts_.options.name + "`";
  std::string why;
  if (!self.drifted) return decision;
  if (catch_up_->half_kept()) {
    why = "a catch-up was interrupted before everything was kept: " + command + " goes on";
  } else {
    why = std::to_string(applier_->holds().not_approved()) +
          " paths were changed here while no primary was connected: nothing is applied. " +
          command + " keeps them aside and catches up; `repl promote --force " +
          parts_.options.name + "` makes what is here the tree";
  }
  return role::ReceiveDecision{.diverged = true, .reason = std::move(why)};
}

void Secondary::on_hello(Session& session, Hello) {
  const role::ReceiveDecision decision = decide(session);
  const bool was_held = session.held;
  session.held = !decision.accept && !decision.wait;
  session.reason = decision.reason;
  if (session.hello->role == Role::primary && diverged_ != decision.diverged) {
    diverged_ = decision.diverged;
    if (diverged_) parts_.events.tell(TreeEvent::Kind::diverged, session.peer, decision.reason);
  }
  if (session.held && !was_held) {
    parts_.log.warn("{}: {}", parts_.options.name, decision.reason);
    session.link->send(PeerNotice{.hold = decision.reason, .error = {}}, Lane::prompt);
  }
  if (session.held) catch_up_->on_refused(decision.reason);
  session.well =
      session.hello->role != Role::primary || session.hello->position == parts_.state.position;
  if (!decision.accept) return;
  if (primary_ != nullptr && primary_ != &session) {
    // One of a newer epoch: decided on again when the other is closed.
    if (session.hello->position.epoch > primary_->hello->position.epoch)
      primary_->link->close("a primary of a newer epoch is here" + std::string(hello_again));
    return;
  }
  session.decided = true;
  primary_ = &session;
  const Position durable = parts_.state.position;
  parts_.state.role = Role::secondary;
  lineage_ = session.hello->lineage;
  // Where our reign is none of its past, ours tells where they part until its first cut is here.
  if (!has_history() || role::has_reign(lineage_, parts_.state.position.reign))
    parts_.state.lineage = lineage_;
  parts_.state.epoch_seen = std::max(parts_.state.epoch_seen, session.hello->position.epoch);
  parts_.store_state();
  answers_.clear();
  receiver_ = std::make_unique<apply::Receiver>(
      *applier_, *parts_.index, parts_.log,
      apply::ReceiverActions{
          .send = [this](Message message, bool bulk) { answer(std::move(message), bulk); },
          .store_position = [this](const Position& position) { store_position(position); },
          .rolling_signature =
              [](int fd, uint64_t size) {
                return delta::make_signature(size,
                                             [fd](uint64_t offset, char* buffer, size_t bytes) {
                                               return io::read_at(fd, offset, buffer, bytes);
                                             });
              }});
  receiver_->start(session.hello->position.epoch, session.hello->position.reign, durable);
  told_holds_ = 0;
  drift_->primary_is_there(true);
  if (synced()) recheck_holds();
  parts_.log.info("{}: following {}", parts_.options.name, session.peer);
}

// Listings and signatures may be more than the link takes at once: they wait here. The primary
// bounds them by what it asks for.
void Secondary::answer(Message message, bool bulk) {
  if (!bulk) {
    static_cast<void>(primary_->link->send(std::move(message), Lane::prompt));
    return;
  }
  answers_.push_back(std::move(message));
  send_answers();
}

void Secondary::send_answers() {
  while (primary_ != nullptr && !answers_.empty() && primary_->link->writable(Lane::bulk) > 0) {
    static_cast<void>(primary_->link->send(std::move(answers_.front()), Lane::bulk));
    answers_.pop_front();
  }
}

Status Secondary::on_message(Session& session, const Message& message) {
  if (std::holds_alternative<Bye>(message) || std::holds_alternative<PeerNotice>(message))
    return {};
  if (&session != primary_ || !receiver_) {
    return fail(ErrorCode::protocol, session.reason.empty() ? "a message before anything was agreed"
                                                            : "not accepted: " + session.reason);
  }
  if (const auto* request = std::get_if<VerifyRequest>(&message)) {
    begin_verify(*request);
    return {};
  }
  if (const auto* reply = std::get_if<VerifyReply>(&message)) {
    catch_up_->on_verified(*reply);
    return {};
  }
  if (verify_) verify_->disturb();
  const Status status = receiver_->on_message(message);
  if (std::holds_alternative<CutEnd>(message)) parts_.dirs->next_generation();
  return status;
}

void Secondary::on_closed(Session& session) {
  catch_up_->on_closed(session);
  if (&session != primary_) return;
  primary_ = nullptr;
  drift_->primary_is_there(false);
  verify_queue_.clear();
  if (verify_) {
    verify_.reset();
    walk_.reset();
  }
  if (receiver_) receiver_->stop();
  receiver_.reset();
}

Result<uint64_t> Secondary::approve() {
  if (!receiver_) {
    return fail(ErrorCode::closed,
                "the primary is not connected: its versions cannot be fetched now");
  }
  std::vector<Key> keys;
  for (const auto& [key, hold] : applier_->holds().all()) keys.push_back(key);
  uint64_t approved = 0;
  for (const Key& key : keys) approved += receiver_->approve(key) ? 1 : 0;
  return approved;
}

// What was changed here is fetched again without asking, as long as there is room for what it was.
void Secondary::repair_drift() {
  if (!parts_.options.repair_drift || !receiver_ || !synced() || applier_->in_cut()) return;
  if (applier_->holds().not_approved() == 0) return;
  size_t kept = 0;
  parts_.index->for_meta(apply::kept_meta, [&](std::string_view, std::string_view) { ++kept; });
  if (kept < limits::kept_by_repair_max) static_cast<void>(approve());
}

std::optional<CutNumber> Secondary::whole_to() const {
  if (parts_.index->meta(apply::incomplete_meta)) return CutNumber{};
  std::optional<CutNumber> first;
  for (const auto& [key, hold] : applier_->holds().all()) {
    const std::optional<Entry> here = parts_.index->get(key);
    const bool as_wanted = hold.wants_removal ? !here : here && here->attr == hold.wanted;
    if (as_wanted) continue;  // only changed here
    const CutNumber of = here ? here->cut : CutNumber{};
    if (!first || of < *first) first = of;
  }
  return first;
}

void Secondary::let_go() {
  drop_holds();
  parts_.index->remove_meta(apply::incomplete_meta);
  parts_.index->remove_meta(apply::consistency_meta);
  parts_.index->raise_log_start(parts_.state.position.cut);
}

}  // namespace repl::run
