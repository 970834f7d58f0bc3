#include "engine/send/sender.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/limits.h"
#include "engine/send/merge_cuts.h"

namespace repl::send {

namespace {

constexpr size_t header_bytes = 128;  // of a message, about

size_t message_bytes(const Message& message) {
  if (const auto* data = std::get_if<StageData>(&message)) return header_bytes + data->bytes.size();
  const auto* records = std::get_if<Records>(&message);
  if (!records) return header_bytes;
  size_t bytes = header_bytes;
  for (const Record& record : records->records) bytes += record_bytes(record);
  return bytes;
}

uint64_t batch_bytes(const CutBatch& batch) {
  uint64_t bytes = 0;
  for (const CutItem& item : batch.items) {
    bytes += sizeof item + item.key.name.size() + item.attr.xattrs.size() +
             (item.bytes ? item.bytes->size() : 0);
  }
  return bytes;
}

}  // namespace

Sender::Sender(const Index& index, uint64_t seed, ContentSource& source, Outbox& outbox,
               SenderCallbacks callbacks, Log& log)
    : index_(index),
      seed_(seed),
      source_(source),
      outbox_(outbox),
      callbacks_(std::move(callbacks)),
      log_(log),
      writer_(CutWriter::Parts{
          .index = index_,
          .source = source_,
          .callbacks = callbacks_,
          .log = log_,
          .emit = [this](Message m, Lane lane) { emit(std::move(m), lane); },
          .room =
              [this](Lane lane) {
                const bool free = lane == Lane::bulk || background_.empty();
                return free ? outbox_.writable(lane) : 0;
              },
          .drained = [this] { return background_.empty() && outbox_.drained(Lane::background); },
          .ask = [this](Message m) { ask(std::move(m)); }}) {}
Sender::~Sender() = default;

void Sender::start(const Plan& plan) {
  REPL_CHECK(phase_ == SendPhase::idle);
  plan_ = plan;
  tree_cut_ = moved_at_ = plan.cut;
  tree_exact_ = plan.exact;
  sent_ = plan.mode == PlanMode::in_sync ? plan.cut : plan.since;
  // The position that a peer names is durable there: whoever waits for it need not wait for another
  // cut.
  if (plan.mode == PlanMode::in_sync || plan.mode == PlanMode::changes) status_.acked.fill(sent_);
  writer_.set_stages(plan.stages);
  begin_run(plan.mode);
}

// --- output ---

void Sender::emit(Message message, Lane lane) {
  pumped_ += message_bytes(message);
  std::deque<Message>& waiting = lane == Lane::bulk ? out_ : background_;
  if (!waiting.empty() || !outbox_.send(message, lane)) waiting.push_back(std::move(message));
}

// Only what belongs to the cut that is being made. What the peer has is asked in order, behind the
// cuts that are on their way: its answer must know of them.
void Sender::ask(Message message) {
  pumped_ += header_bytes;
  static_cast<void>(outbox_.send(message, Lane::prompt));  // refused only by a closed connection
}

bool Sender::flush() {
  while (!out_.empty() && outbox_.send(out_.front(), Lane::bulk)) out_.pop_front();
  while (!background_.empty() && outbox_.send(background_.front(), Lane::background))
    background_.pop_front();
  return out_.empty();
}

bool Sender::pump() {
  pumped_ = 0;
  while (flush() && (phase_ == SendPhase::asking || phase_ == SendPhase::comparing ||
                     outbox_.writable(Lane::bulk) > 0)) {
    if (pumped_ >= limits::pump_bytes_max) return true;
    pumped_ += 1;  // steps that send nothing count too, a little
    if (!step()) return false;
  }
  return false;
}

bool Sender::step() {
  switch (phase_) {
    case SendPhase::idle:
      return false;
    case SendPhase::asking:
      return step_asking();
    case SendPhase::comparing:
      return step_comparing();
    case SendPhase::cutting:
      return step_cutting();
    case SendPhase::live:
      return step_live();
  }
  return false;
}

// --- live ---

void Sender::on_cut(std::shared_ptr<const CutBatch> batch) {
  if (phase_ == SendPhase::idle || batch->cut <= tree_cut_) return;
  tree_cut_ = batch->cut;
  tree_exact_ = batch->ordered;
  if (batch->by_log || !batch->items.empty()) {
    moved_at_ = batch->cut;
    // The index that a merged cut is made from has moved on: the cut may hold some of this one
    // already.
    if (phase_ != SendPhase::live && !live_) writer_.index_moved_on();
  }
  if (diverted_) return;
  if (batch->by_log) return divert();
  queue_bytes_ += batch_bytes(*batch);
  queue_.push_back(std::move(batch));
  const bool over =
      queue_.size() > limits::live_batches_max || queue_bytes_ > limits::live_bytes_max;
  if (over && queue_.size() > 1) divert();
}

void Sender::divert() {
  log_.info("send: the peer is {} cuts behind, its queue is replaced by the log of changes",
            queue_.size());
  ++status_.fallbacks;
  clear_queue();
  diverted_ = true;
}

std::shared_ptr<const CutBatch> Sender::take_queued(size_t at) {
  std::shared_ptr<const CutBatch> batch = std::move(queue_[at]);
  queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(at));
  queue_bytes_ -= std::min(queue_bytes_, batch_bytes(*batch));
  return batch;
}

void Sender::clear_queue() {
  queue_.clear();
  queue_bytes_ = 0;
  told_early_ = 0;
}

bool Sender::step_live() {
  if (compare_wanted_) {
    begin_run(PlanMode::compare);
    return true;
  }
  if (diverted_) {
    begin_run(PlanMode::changes);
    return true;
  }
  if (!resend_.empty()) {
    begin_resend();
    return true;
  }
  if (queue_.empty()) {
    const auto drained = writer_.drain();
    if (drained == CutWriter::Drain::complete) begin_completion();
    return drained == CutWriter::Drain::more || drained == CutWriter::Drain::complete;
  }
  if (!told_exact_) merge_queue();
  live_ = take_queued(0);
  live_at_ = 0;
  open_writer(CutBegin{.epoch = plan_.epoch, .reign = plan_.reign, .cut = live_->cut}, sent_);
  return true;
}

// The peer is not at a state of the tree: what waits becomes one cut that is. It brings again what
// a merged cut told at a newer state.
void Sender::merge_queue() {
  if ((queue_.size() == 1 && given_.empty()) || index_is_ahead()) return;
  queue_ = {merge_cuts(queue_, index_, [this](const Key& key) {
    return given_.contains(key) || writer_.astray().contains(key);
  })};
  queue_bytes_ = batch_bytes(*queue_.front());
}

// A scan records what no cut has said yet.
bool Sender::index_is_ahead() const {
  bool ahead = false;
  const bool reaches = index_.changes_since(tree_cut_, [&](const Change&) {
    ahead = true;
    return false;
  });
  return ahead || !reaches;
}

void Sender::open_writer(const CutBegin& begin, CutNumber peer_at) {
  was_loose_ = writer_.under_way();
  steps_waited_ = 0;
  using Loose = CutWriter::Loose;
  const Loose may_end = plan_.strict                     ? Loose::never
                        : writer_.loose() || has_large() ? Loose::yes
                                                         : Loose::if_torn;
  writer_.begin(begin, peer_at, plan_.disown_extra, may_end);
  phase_ = SendPhase::cutting;
}

// Contents that are under way are there: under the number of the last cut, since they belong to it
// or to one before.
void Sender::begin_completion() {
  completing_ = true;
  merging_ = sent_;
  begin_cut(false);
}

// Will the cut have contents that travel in pieces?
bool Sender::has_large() const {
  const auto large = [](const Attributes& attr) {
    return attr.type == FileType::regular && attr.size > limits::inline_bytes_max;
  };
  if (live_) {
    return std::ranges::any_of(live_->items, [&](const CutItem& item) {
      return !item.removed && item.content_changed && !item.copy_from && large(item.attr);
    });
  }
  if (walk_root_) return true;  // a first sync; who knows
  return std::ranges::any_of(candidates_, [&](const Candidate& candidate) {
    const auto entry = candidate.removed ? std::nullopt : index_.get(candidate.key);
    return entry && large(entry->attr);
  });
}

// The cut ends now, whatever is under way: a newer one waits, or this one waits for what earlier
// ones began.
bool Sender::goes_on_without() {
  if (!writer_.can_end_loose() || !writer_.under_way()) return false;
  return steps_waited_ > 0 && (was_loose_ || newer_waits());
}

// Refused keys go whole, under the number of the last cut: later ones are still to come.
void Sender::begin_resend() {
  std::vector<Candidate> found;
  for (const Key& key : std::exchange(resend_, {})) {
    refusals_[key].sent_again = sent_;
    const std::optional<Entry> entry = index_.get(key);
    found.push_back(Candidate{.key = key, .removed = !entry, .whole = true});
    if (entry) found.back().dir = entry->attr.dir;
    // It may be refused because the peer lacks a directory above it.
    for (auto above = entry ? index_.place_of(key.dir) : std::nullopt; above;
         above = index_.place_of(above->parent)) {
      found.push_back(
          Candidate{.key = Key{.dir = above->parent, .name = above->name}, .whole = true});
    }
    if (!entry || !entry->attr.link.is_set()) continue;
    for (Key& name : index_.keys_of_link(entry->attr.link)) {  // a group is sent with all its names
      found.push_back(Candidate{.key = std::move(name), .whole = true});
    }
  }
  sort_parents_first(found);
  candidates_.assign(std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  merging_ = sent_;
  begin_cut(false);
  if (!queue_.empty()) writer_.index_moved_on();
}

// --- cuts ---

void Sender::begin_cut(bool first_sync) {
  // What changed since the peer's cut is among the candidates; all else is on the peer as the index
  // has it.
  const CutNumber peer_at = mode_ == PlanMode::changes ? sent_ : CutNumber{};
  open_writer(
      CutBegin{
          .epoch = plan_.epoch, .reign = plan_.reign, .cut = merging_, .first_sync = first_sync},
      peer_at);
  if (merging_ < moved_at_) writer_.index_moved_on();
  given_.clear();
  given_dirs_.clear();
  piece_records_ = 0;
  piece_began_bytes_ = 0;
}

// One key, or one read of a directory, to the writer. False: all were given.
bool Sender::feed_writer() {
  if (live_) {
    if (live_at_ == live_->items.size()) return false;
    writer_.add(live_->items[live_at_++]);
    return true;
  }
  if (candidates_.empty()) return false;
  Candidate next = std::move(candidates_.front());
  candidates_.pop_front();
  give(std::move(next));
  ++status_.files_done;
  ++piece_records_;
  return true;
}

bool Sender::step_cutting() {
  const bool crowded = writer_.crowded();
  if (!piece_full_ && !crowded) {
    if (tell_early()) return true;
    if (feed_writer()) {
      const bool in_pieces = mode_ == PlanMode::first_sync && !live_;
      piece_full_ =
          in_pieces && (piece_records_ >= limits::piece_keys_max ||
                        writer_.bytes_sent() - piece_began_bytes_ >= limits::piece_bytes_max);
      return true;
    }
    if (!live_ && mode_ == PlanMode::first_sync && next_of_first_sync()) return true;
  }
  const bool more_pieces = piece_full_ && (!candidates_.empty() || !walk_.empty());
  const bool put_off = writer_.can_end_loose() && more_pieces && writer_.only_huge();
  if (!put_off && !goes_on_without()) {
    const auto drained = writer_.drain();
    if (!writer_.searching() && (was_loose_ || newer_waits())) ++steps_waited_;
    if (drained == CutWriter::Drain::waiting) return goes_on_without();
    if (drained == CutWriter::Drain::more || crowded) return true;
  }
  if (!live_) remove_moved_off();
  piece_full_ = false;
  if (more_pieces) {
    writer_.end(false, Fingerprint{}, false, refusals_settled_);
    writer_.reopen();
    given_.clear();
    given_dirs_.clear();
    piece_records_ = 0;
    piece_began_bytes_ = writer_.bytes_sent();
    return true;
  }
  end_cut();
  return true;
}

void Sender::end_cut() {
  CutNumber cut = merging_;
  const bool merged = live_ == nullptr;
  told_early_ = 0;
  // What a comparison must still find keeps the peer from taking the position: should the
  // connection end before it, the next one begins with it.
  const bool whole = live_ || !compare_wanted_;
  if (whole) ++ends_sent_;
  if (!live_) owed_until_ = ends_sent_;
  Fingerprint content;
  bool known = false;
  note_inexact(cut);
  if (live_) {
    if (!live_->ordered) writer_.not_exact();
    cut = live_->cut;
    content = live_->content;
    known = live_->content_known;
    live_.reset();
    given_.clear();
  } else if (cut == tree_cut_) {
    const std::optional<DirSummary> root = index_.summary(root_dir);
    known = root && root->unknown == 0;
    content = index_.root_content();
  }
  const bool loose = writer_.loose();
  if (!loose) loose_since_ = CutNumber{};
  if (loose && !loose_since_.is_set()) loose_since_ = cut;
  if (loose || was_loose_) owed_until_ = ends_sent_;
  if (mode_ == PlanMode::compare && merged)
    only_withheld_ = writer_.records() == 0 ? writer_.withheld() : 0;
  known = known && writer_.exact() && resend_.empty() && !loose;
  if (resend_.empty() && !compare_wanted_) refusals_settled_ = status_.refused;
  if (merged && !tree_exact_) writer_.not_exact();  // equal it is all the same
  told_exact_ = writer_.exact();
  writer_.end(whole, content, known, refusals_settled_);
  exact_ = known;
  if (whole) sent_ = cut;
  unproved_ = true;
  phase_ = SendPhase::live;
  if (!std::exchange(completing_, false)) catch_up(merged);
}

// What the cut told of a later state of the tree is in the cuts that are known by now: the newest
// of them is exact, those before it are not. The one that an index is ahead of is not either.
void Sender::note_inexact(CutNumber cut) {
  const bool exact = writer_.exact();
  const CutNumber newest = live_ ? live_->cut : cut;
  writer_.astray().settle(tree_cut_);
  if (writer_.tells_of_later()) {
    const bool newest_too = compare_wanted_ || newest >= tree_cut_ || index_is_ahead();
    const CutNumber until = newest_too ? tree_cut_ : CutNumber{tree_cut_.value - 1};
    inexact_until_ = std::max(inexact_until_, until);
  }
  if (newest <= inexact_until_ || writer_.astray().any(newest)) writer_.not_exact();
  if (!exact) callbacks_.not_exact();
}

// A merged cut holds some of the cuts that came meanwhile already, at a newer state: told after it
// one by one they would lead back. They are told as one; or, where it is not known what the peer
// has under their keys, asked for and sent as another merged cut, as long as that is little.
void Sender::catch_up(bool merged) {
  const bool known = mode_ == PlanMode::changes || mode_ == PlanMode::in_sync;
  const bool here = known && !diverted_ && !index_is_ahead();
  if (!merged || tree_cut_ <= sent_ || here || catch_ups_ == limits::catch_ups_max) {
    catch_ups_ = 0;
    return;
  }
  ++catch_ups_;
  clear_queue();
  diverted_ = true;
}

// Something of an acknowledged cut is still to be sent, or is on its way under that cut's number.
bool Sender::owes_sending() const {
  const bool merging = !live_ && phase_ != SendPhase::live && phase_ != SendPhase::idle;
  return merging || !resend_.empty() || compare_wanted_ || diverted_ || writer_.loose();
}

SenderStatus Sender::status() const {
  SenderStatus s = status_;
  s.phase = phase_;
  s.mode = mode_;
  s.bytes_done = writer_.bytes_sent();
  s.bytes_total = std::max(s.bytes_total, s.bytes_done);
  s.files_total = std::max(s.files_total, s.files_done);
  s.sent = sent_;
  s.cuts_pending = queue_.size() + (phase_ == SendPhase::cutting ? 1 : 0);
  const CutNumber applied = s.acked[static_cast<size_t>(AckLevel::applied)];
  s.loose_since = loose_since_;
  s.large_files = writer_.large_files();
  s.held_back = writer_.held_back();
  s.hot_files = writer_.hot_files();
  s.torn_reads = writer_.torn_reads();
  s.held_keys += given_up_.size();
  s.owes = owes_sending() || ends_acked_[static_cast<size_t>(AckLevel::durable)] < owed_until_;
  s.unproved = unproved_ && applied_ && status_.held_keys == 0;
  s.differs = differs_;
  if (without_held_) {
    s.withheld = only_withheld_;
    s.without_held = without_held_->content;
  }
  s.in_sync = phase_ == SendPhase::live && queue_.empty() && !s.owes && !s.unproved && !differs_ &&
              (applied >= sent_ || mode_ == PlanMode::in_sync);
  return s;
}

}  // namespace repl::send
