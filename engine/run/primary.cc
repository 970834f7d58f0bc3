#include "engine/run/primary.h"

#include <algorithm>
#include <utility>

#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "engine/model/hash.h"
#include "engine/role/contact.h"

namespace repl::run {

namespace {

constexpr Duration rewatch_delay = std::chrono::seconds(60);
constexpr size_t cut_times_max = 4096;
constexpr std::string_view peer_meta = "peer/";

send::Plan plan_of(const TreeParts& parts, const role::SendDecision& decision, const Hello& peer,
                   bool exact) {
  send::Plan plan;
  plan.epoch = parts.state.position.epoch;
  plan.reign = parts.state.position.reign;
  plan.cut = parts.state.position.cut;
  plan.exact = exact;
  plan.since = decision.since;
  plan.strict = parts.options.strict_order;
  plan.disown_extra = parts.options.keep_extra;
  plan.stages = peer.stages;
  switch (decision.send) {
    case role::Send::first_sync:
      plan.mode = send::PlanMode::first_sync;
      break;
    case role::Send::changes:
      plan.mode = send::PlanMode::changes;
      break;
    case role::Send::in_sync:
      plan.mode = send::PlanMode::in_sync;
      break;
    case role::Send::compare:
    case role::Send::nothing:
      plan.mode = send::PlanMode::compare;
      break;
  }
  return plan;
}

}  // namespace

Primary::Primary(TreeParts& parts, SyncThread& sync, std::function<void()> wake)
    : parts_(parts),
      wake_(std::move(wake)),
      drain_([] {}),
      held_removals_(*parts.index, parts.options.deletes, parts.clock, parts.log,
                     parts.options.name),
      observer_([&] {
        change::ObserverParts observed = parts.observer_parts();
        observed.may_replace = [this](const Key& key, const Entry& old) {
          return held_removals_.may_replace(key, old);
        };
        return observed;
      }()),
      builder_(observer_, *parts.index, *parts.dirs, parts.changes, held_removals_,
               change::CutHooks{.drain = [this] { drain_(); },
                                .watch =
                                    [this](DirId dir, int fd, std::string_view handle) {
                                      if (!parts_.watcher) return;
                                      if (Status s = parts_.watcher->add(dir, fd, handle); !s)
                                        watch_failed(s.error());
                                    },
                                .unwatch = [this](DirId dir) { parts_.unwatch_tree(dir); }},
               parts.clock),
      committer_(parts, sync, [this] { before_commit(); }),
      verifier_(parts, {.here = [this] { return held_paths(); },
                        .without = [this](const std::string& node) { return without_held(node); }}),
      contents_(*parts.dirs, *parts.backend),
      signatures_(*parts.index, contents_, parts.log) {
  parts_.index->for_meta(peer_meta, [this](std::string_view name, std::string_view value) {
    ByteReader in(value);
    durable_[std::string(name.substr(peer_meta.size()))] = CutNumber{in.u64()};
  });
  recall_owed();
  start_scan({});
}

Primary::~Primary() { waiters_.fail_all("the tree is closed here"); }

void Primary::on_hint(const Key& key, uint32_t bits) {
  parts_.changes.mark(key, bits, parts_.clock.now());
  verifier_.disturb();
}

void Primary::on_lost(std::optional<DirId> below, const std::string& reason) {
  parts_.changes.mark_rescan(below, reason);
  verifier_.disturb();
}

// --- scans
// ---------------------------------------------------------------------------------------------------

void Primary::start_scan(std::vector<DirId> below) {
  scan_cut_ = CutNumber{parts_.state.position.cut.value + 1};
  parts_.dirs->next_generation();
  scan_errors_.clear();
  scan_ = std::make_unique<RecordScan>(parts_, observer_, &held_removals_, scan_cut_, wake_);
  if (below.empty()) below.push_back(root_dir);
  for (const DirId dir : below) scan_->begin(dir);
}

void Primary::step_scan() {
  if (!scan_->step()) return;
  note_troubles(scan_->troubles());
  for (const Error& error : scan_->watch_errors()) watch_failed(error);
  if (scan_->root_emptied()) {
    if (!emptied_) {
      parts_.log.error(
          "{}: the root is empty, but {} entries were in it: nothing is removed on any peer until "
          "`repl approve {}` says that this was meant",
          parts_.options.name, parts_.index->counts().entries - 1, parts_.options.name);
    }
    emptied_ = true;
    return;
  }
  end_scan();
}

void Primary::end_scan() {
  const bool changed = scan_->changed();
  parts_.log.info("{}: scanned {} entries{}", parts_.options.name, scan_->seen(),
                  changed ? ", something had changed" : "");
  for (const DirId dir : scan_->unlisted()) builder_.owe_listing(dir);
  for (const RecordScan::Edit& edit : scan_->edits()) {
    signatures_.edited(edit.key, edit.size, edit.before);
  }
  scan_.reset();
  emptied_ = false;
  held_removals_.scanned();
  report_held();
  if (!changed) return;
  auto batch = std::make_shared<CutBatch>();
  batch->cut = scan_cut_;
  batch->by_log = true;
  batch->ordered = false;  // what was read first may have changed since
  exact_ = false;
  advance_to(scan_cut_, parts_.clock.now());
  for (auto& [session, sender] : senders_) sender->on_cut(batch);
}

Result<uint64_t> Primary::approve() {
  uint64_t entries = 0;
  if (emptied_ && scan_) {
    entries = parts_.index->counts().entries - 1;
    scan_->accept_emptied_root();
    emptied_ = false;
  } else {
    entries = held_removals_.entries();
    for (const Key& key : held_removals_.approve()) on_hint(key, hint_removed);
  }
  if (entries > 0)
    parts_.log.info("{}: the removal of {} entries was approved", parts_.options.name, entries);
  report_held();
  wake_();
  return entries;
}

// Once for each time that something is held, however much it becomes.
void Primary::report_held() {
  const bool held = !held_removals_.empty();
  if (held && !held_said_) {
    parts_.log.error(
        "{}: {} entries were removed here, more than max_delete allows: they are held, and nothing "
        "of it is removed on any peer until `repl approve {}` says that this was meant",
        parts_.options.name, held_removals_.entries(), parts_.options.name);
  }
  if (!held && held_said_) parts_.log.info("{}: no removal is held any more", parts_.options.name);
  held_said_ = held;
}

// --- cuts
// ----------------------------------------------------------------------------------------------------

// While every peer has enough to do, changes gather: in a cut that had to wait they would lie in
// memory, and past its bound be read again.
std::optional<MonotonicTime> Primary::cut_held_until() const {
  const bool busy = !senders_.empty() && std::ranges::all_of(senders_, [](const auto& sender) {
    return sender.second->busy();
  });
  if (!busy) return std::nullopt;
  return cut_made_at_ + std::chrono::milliseconds(limits::cut_hold_ms_max);
}

bool Primary::cut_is_due(MonotonicTime now) const {
  if (!synced() || parts_.changes.rescan_needed()) return false;
  if (parts_.changes.empty() && exact_) return false;
  if (const auto held = cut_held_until(); held && now < *held) return false;
  if (parts_.changes.empty() || !parts_.changes.all_open()) return true;
  const std::optional<MonotonicTime> oldest = parts_.changes.oldest();
  return oldest && now >= *oldest + std::chrono::microseconds(limits::cut_close_wait_us);
}

void Primary::make_cut(MonotonicTime now) {
  const CutNumber next{parts_.state.position.cut.value + 1};
  const std::shared_ptr<CutBatch> batch = builder_.build(next, !exact_);
  cut_made_at_ = now;
  report_unreadable(now);
  report_held();
  if (!batch) return;
  exact_ = batch->ordered;
  sent_with(*batch);
  if (!batch->ordered) ++unordered_cuts_;
  for (const CutItem& item : batch->items) {
    if (item.content_changed && item.base_size > 0)
      signatures_.edited(item.key, item.attr.size, item.base_content);
  }
  advance_to(next, now);
  for (auto& [session, sender] : senders_) sender->on_cut(batch);
}

void Primary::advance_to(CutNumber cut, MonotonicTime now) {
  parts_.state.position.cut = cut;
  parts_.store_state();
  if (cut_times_.size() < cut_times_max) cut_times_.emplace_back(cut, now);
}

// What is not watched is scanned again: the limit may have been raised.
void Primary::watch_failed(const Error& why) {
  if (scan_errors_.size() < limits::holds_listed_max) scan_errors_.push_back(why.message);
  rewatch_at_ = parts_.clock.now() + rewatch_delay;
}

bool Primary::step(MonotonicTime now) {
  if (rewatch_at_ && now >= *rewatch_at_) {
    rewatch_at_.reset();
    parts_.changes.mark_rescan(std::nullopt, "a part is not watched");
  }
  if (!scan_ && parts_.changes.rescan_needed()) {
    start_scan(parts_.changes.take_rescan().below);
  }
  if (scan_ && !emptied_) step_scan();
  if (retry_at_ && now >= *retry_at_) retry_unreadable(now);
  bool more = false;
  if (cut_is_due(now)) {
    make_cut(now);
    more = cut_is_due(now);
  }
  for (auto& [session, sender] : senders_) more = sender->pump(now) || more;
  if (digests_) step_digests();
  const auto ask = [this](const std::string& node, const VerifyRequest& request) {
    for (auto& [session, sender] : senders_) {
      if (sender->node() != node) continue;
      sender->say(request);
      return true;
    }
    return false;
  };
  const bool quiet = synced() && parts_.changes.empty() && !parts_.changes.rescan_needed();
  more = verifier_.step(now, {.ask = ask, .quiet = quiet, .drain = drain_}) || more;
  more = step_proofs(now) || more;
  if (!waiters_.empty()) step_waiters(now);
  more = more || (!exact_ && cut_is_due(now));
  // Behind all that may come to rest in this step: nothing else would wake it.
  if (signatures_.wanted()) more = signatures_.step(now, idle()) || more;
  while (!cut_times_.empty() && std::ranges::all_of(durable_, [&](const auto& peer) {
    return peer.second >= cut_times_.front().first;
  }) && !durable_.empty()) {
    cut_times_.pop_front();
  }
  committer_.step(now);
  const bool scan_now = synced() && parts_.changes.rescan_needed();
  return more || digests_ || scan_now;
}

// Nobody waits for the tree, nor for the disk.
bool Primary::idle() const {
  return synced() && parts_.changes.empty() && !digests_ && waiters_.empty() &&
         std::ranges::none_of(senders_, [](const auto& sender) {
           const send::SenderStatus status = sender.second->status();
           return status.phase != send::SendPhase::live || status.cuts_pending > 0 ||
                  status.loose_since.is_set();
         });
}

std::optional<MonotonicTime> Primary::deadline() const {
  std::optional<MonotonicTime> first;
  const auto consider = [&](std::optional<MonotonicTime> at) {
    if (at && (!first || *at < *first)) first = at;
  };
  const bool cut_wanted = synced() && (!parts_.changes.empty() || !exact_);
  if (const auto held = cut_held_until(); cut_wanted && held) {
    consider(*held);
  } else if (cut_wanted && (parts_.changes.empty() || !parts_.changes.all_open())) {
    consider(parts_.clock.now());
  } else if (const auto oldest = parts_.changes.oldest(); synced() && oldest) {
    consider(*oldest + std::chrono::microseconds(limits::cut_close_wait_us));
  }
  consider(retry_at_);
  for (const auto& [session, sender] : senders_) consider(sender->deadline());
  consider(rewatch_at_);
  consider(prove_at_);
  consider(signatures_.deadline());
  consider(waiters_.deadline(parts_.clock.now()));
  consider(verifier_.deadline());
  consider(committer_.deadline());
  return first;
}

// --- peers
// ---------------------------------------------------------------------------------------------------

void Primary::describe(Hello& hello) const { hello.synced = synced(); }

void Primary::on_hello(Session& session, Hello self) {
  const bool join_any = parts_.options.standing != Standing::configured;
  const role::SendDecision decision =
      role::decide_send(self, *session.hello, join_any, parts_.state.after_power_loss);
  session.held = decision.send == role::Send::nothing && !decision.wait;
  session.reason = decision.reason;
  if (decision.digests_needed) begin_digests();
  if (decision.send == role::Send::nothing) {
    if (session.held) {
      parts_.log.warn("{}: {}", parts_.options.name, decision.reason);
      held_[&session] = PeerStanding{
          .node = session.peer, .connected = true, .held = true, .reason = decision.reason};
    }
    return;
  }
  held_.erase(&session);
  session.decided = true;
  parts_.log.info("{}: {} is connected: {}", parts_.options.name, session.peer,
                  decision.send == role::Send::in_sync      ? "in sync"
                  : decision.send == role::Send::changes    ? "sending what changed"
                  : decision.send == role::Send::first_sync ? "first sync"
                                                            : "comparing");
  send::SenderCallbacks callbacks{
      .mark_dirty = [this](const Key& key) { on_hint(key, hint_modified); },
      .left_out = [this](const Key& key, const Error& why) { left_out(key, why); },
      .content_known =
          [this](const Key& key, const Attributes& attr, const Digest& digest,
                 const std::vector<Digest>& blocks) { content_known(key, attr, digest, blocks); },
      .not_exact = [this] { exact_ = false; },
      .withheld = [this](const Key& key) { return held_removals_.covers(key); },
      .withheld_unknown = [this] { return held_removals_.unknown(); }};
  auto sender = std::make_unique<PeerSender>(
      parts_, session, std::move(callbacks),
      parts_.options.policy.ids_by_name
          ? [this](Attributes& attr) { observer_.describe_owner(attr); }
          : std::function<void(Attributes&)>{});
  sender->start(plan_of(parts_, decision, *session.hello, exact_));
  session.well = decision.send == role::Send::in_sync;
  // Its last cut may have been one that was not, and nothing else would tell it.
  if (decision.send == role::Send::in_sync) exact_ = false;
  senders_[&session] = std::move(sender);
}

Status Primary::on_message(Session& session, const Message& message) {
  const auto at = senders_.find(&session);
  if (at == senders_.end()) {
    // An acknowledgement of a cut that an earlier connection brought: the hello says how far the
    // peer is.
    if (std::holds_alternative<Bye>(message) || std::holds_alternative<PeerNotice>(message) ||
        std::holds_alternative<Ack>(message)) {
      return {};
    }
    return fail(ErrorCode::protocol, "a message before anything was agreed");
  }
  PeerSender& sender = *at->second;
  if (const auto* reply = std::get_if<VerifyReply>(&message)) {
    verifier_.on_reply(sender.node(), *reply);
    return {};
  }
  if (const auto* request = std::get_if<VerifyRequest>(&message)) {
    verify_for(session, *request);
    return {};
  }
  if (const auto* notice = std::get_if<PeerNotice>(&message)) {
    if (!notice->error.empty())
      parts_.log.warn("{}: {}: {}", parts_.options.name, sender.node(), notice->error);
    sender.on_notice(*notice);
    return sender.on_message(message);
  }
  if (Status s = sender.on_message(message); !s) return s;
  const auto* ack = std::get_if<Ack>(&message);
  session.well = session.well || (ack != nullptr && ack->level == AckLevel::durable);
  const CutNumber durable = sender.status().acked[static_cast<size_t>(AckLevel::durable)];
  CutNumber& known = durable_[sender.node()];
  known = std::max(known, durable);
  return {};
}

void Primary::on_closed(Session& session) {
  held_.erase(&session);
  const auto at = senders_.find(&session);
  if (at == senders_.end()) return;
  verifier_.on_closed(at->second->node());
  senders_.erase(at);
}

// What every peer has for good need not be in the log; what each has is known again after a
// restart.
void Primary::before_commit() {
  CutNumber everywhere = parts_.state.position.cut;
  for (const std::string& node : parts_.options.nodes) {
    if (node == parts_.options.node) continue;
    const auto at = durable_.find(node);
    everywhere = std::min(everywhere, at == durable_.end() ? CutNumber{} : at->second);
    if (at == durable_.end()) continue;
    std::string value;
    ByteWriter(value).u64(at->second.value);
    const std::string name = std::string(peer_meta) + node;
    if (parts_.index->meta(name) != value) parts_.index->put_meta(name, value);
  }
  if (everywhere.is_set()) parts_.index->trim_log(everywhere);
  parts_.store_state();
}

void Primary::let_go() {
  held_removals_.let_go();
  forget_owed();
  for (const auto& [node, durable] : durable_)
    parts_.index->remove_meta(std::string(peer_meta) + node);
}

void Primary::stop() {
  waiters_.fail_all("the daemon was stopped");
  parts_.state.clean_stop = synced() && parts_.changes.empty();
  committer_.stop();
}

}  // namespace repl::run
