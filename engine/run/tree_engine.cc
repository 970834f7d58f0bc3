#include "engine/run/tree_engine.h"

#include <algorithm>
#include <utility>

#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/model/hash.h"
#include "engine/role/contact.h"
#include "engine/run/primary.h"
#include "engine/run/secondary.h"

namespace repl::run {

namespace {

constexpr uint32_t protocol_version = 1;
constexpr size_t drain_bytes = 1 << 20;

bool same_but_progress(const Hello& a, const Hello& b) {
  return a.role == b.role && a.position == b.position && a.synced == b.synced &&
         a.content == b.content && a.content_known == b.content_known &&
         a.tree_empty == b.tree_empty && a.policy == b.policy && a.catch_up == b.catch_up &&
         a.drifted == b.drifted;
}

}  // namespace

Result<std::unique_ptr<TreeEngine>> TreeEngine::open(TreeOptions options, const Clock& clock,
                                                     Log& log) {
  Result<std::unique_ptr<TreeParts>> parts = TreeParts::open(std::move(options), clock, log);
  if (!parts) return fail(parts.error());
  Result<EventLoop> loop = EventLoop::make();
  if (!loop) return fail(loop.error());
  return std::unique_ptr<TreeEngine>(new TreeEngine(std::move(*parts), std::move(*loop)));
}

TreeEngine::TreeEngine(std::unique_ptr<TreeParts> parts, EventLoop loop)
    : parts_(std::move(parts)),
      loop_(std::move(loop)),
      sync_([this] { loop_.wake(); }, parts_->options.sync_on),
      listings_(*parts_->index),
      differ_(*parts_) {
  hooks_->wake = [this] { loop_.wake(); };
}

// RACE: a closed link tells so later, on the I/O thread, and whoever dialled holds it longer than
// the engine lives: it must not wake an engine that is gone.
TreeEngine::~TreeEngine() {
  {
    const std::lock_guard lock(hooks_->mutex);
    hooks_->wake = {};
  }
  std::vector<std::shared_ptr<Link>> links;
  {
    const std::lock_guard lock(mutex_);
    links.swap(new_links_);
  }
  for (const auto& session : sessions_) {
    if (session->link) links.push_back(session->link);
  }
  for (const auto& link : links) {
    link->on_ready({});
    link->close("the tree is closed here");
  }
}

void TreeEngine::attach(std::shared_ptr<Link> link) {
  link->on_ready([this] { loop_.wake(); });
  {
    const std::lock_guard lock(mutex_);
    new_links_.push_back(std::move(link));
  }
  loop_.wake();
}

void TreeEngine::stop() {
  stop_ = true;
  loop_.wake();
}

void TreeEngine::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  loop_.wake();
}

// Which duty, and which reign: a primary that was not stopped cleanly begins a new reign, because
// it may have sent cuts that its index does not remember. Durable before anybody hears of it.
Status TreeEngine::begin() {
  role::NodeState& state = parts_->state;
  look_for_regression(state.boot.is_set() && state.boot == boot_id());
  const bool was_primary = state.role == Role::primary;
  if (parts_->options.standing == Standing::mirror_source && !was_primary) {
    state = role::found_tree(random_reign());
    parts_->index->clear();
  } else if (was_primary && parts_->options.standing != Standing::mirror_copy) {
    state = role::begin_run(std::move(state), random_reign(), boot_id());
  } else {
    state.role = state.position.reign.is_set() ? Role::secondary : Role::none;
  }
  state.boot = boot_id();
  parts_->start_ids();
  parts_->store_state();
  if (Status s = parts_->flush(); !s) return s;
  paused_ = parts_->index->meta(paused_meta).has_value();
  if (state.role != Role::primary) return begin_secondary();
  current_ = parts_->options.standing != Standing::configured || parts_->options.nodes.size() < 2;
  if (!current_) alone_until_ = parts_->clock.now() + parts_->options.alone_after;
  begin_primary();
  return {};
}

void TreeEngine::begin_primary() {
  primary_ = std::make_unique<Primary>(*parts_, sync_, [this] { loop_.wake(); });
  primary_->drain_with(drain_hook());
  duty_ = primary_.get();
  secondary_.reset();
}

Status TreeEngine::begin_secondary() {
  Result<std::unique_ptr<Secondary>> made =
      Secondary::make(*parts_, sync_, [this] { loop_.wake(); });
  if (!made) return fail(made.error());
  secondary_ = std::move(*made);
  secondary_->drain_with(drain_hook());
  duty_ = secondary_.get();
  primary_.reset();
  return {};
}

// The cut builder drains the kernel between its rounds, and a proof at its end; that the root went
// is told by the loop.
std::function<void()> TreeEngine::drain_hook() {
  return [this] {
    if (!parts_->watcher) return;
    if (Status s = drain_watch(); !s) ended_ = s;
  };
}

void TreeEngine::begin_scrub() {
  scrub_ = std::make_unique<Scrub>(
      *parts_, Scrub::Found{.changed = [this](const Key& key) { duty_->on_scrub_changed(key); },
                            .rotten = [this](const Key& key) { duty_->on_rot(key); }});
}

Status TreeEngine::run() {
  if (Status s = start(); !s) return s;
  while (!stop_ && ended_) static_cast<void>(turn(time_to_wait()));
  return finish();
}

Status TreeEngine::start() {
  if (Status s = begin(); !s) return s;
  begin_scrub();
  step_guard();
  act(handing_.restarted(parts_->state, parts_->clock.now()));
  return {};
}

bool TreeEngine::turn(std::optional<Duration> wait) {
  const int watch_fd = parts_->watcher && !watch_waits_ ? parts_->watcher->event_fd() : -1;
  const EventLoop::Woken woken = loop_.wait(watch_fd, wait);
  const MonotonicTime now = parts_->clock.now();
  if (woken.by_watch || (watch_waits_ && now >= next_drain_)) {
    if (Status s = drain_watch(); !s) ended_ = s;
  }
  run_posted();
  take_new_links();
  serve_sessions();
  step_diffs();
  busy_ = duty_->step(now) || (!diffs_wanted_.empty() && !differ_.busy());
  if (Status s = duty_->health(); !s) ended_ = s;
  consider_founding();
  consider_currency();
  if (step_down_) continue_step_down();
  step_handover();
  step_promotion();
  if (scrub_->due(now)) scrub_->step(now, !busy_ && !step_down_ && duty_->may_scrub());
  step_guard();
  busy_ = say_hello() || step_down_ || busy_;
  tell_events();
  return ended_.has_value();
}

Status TreeEngine::finish() {
  run_posted();
  duty_->stop();
  return ended_;
}

// After a drain that found work the next one waits a little: a listener that wakes for every event
// slows the writer by half, one that batches hardly.
Status TreeEngine::drain_watch() {
  watch_waits_ = false;
  uint64_t ours = 0;
  uint64_t events = 0;
  for (bool more = true; more;) {
    Result<watch::Drained> drained = parts_->watcher->drain(drain_bytes);
    if (!drained) return fail(drained.error());
    if (drained->root_gone) {
      return fail(
          ErrorCode::not_found,
          "the root " + escape(parts_->options.root) +
              " was removed, replaced or unmounted: nothing is sent or applied until it is back",
          Remedy::hold);
    }
    for (const watch::Hint& hint : drained->hints) {
      if (hint.dir.is_set() && (hint.bits & hint_self) == 0) {
        duty_->on_hint(Key{.dir = hint.dir, .name = hint.name}, hint.bits);
        ++ours;
      } else if (hint.dir.is_set()) {
        if (const auto at = parts_->index->summary(hint.dir)) duty_->on_hint(at->place, hint.bits);
        ++ours;
      }
      if (hint.inode == 0) continue;
      for (const Key& key : parts_->index->keys_of_inode(hint.inode)) {
        if (key.dir == hint.dir && key.name == hint.name) continue;
        duty_->on_hint(key, hint.bits & (hint_modified | hint_closed | hint_attributes));
        ++ours;
      }
    }
    for (const watch::Lost& lost : drained->lost) {
      parts_->log.warn("{}: {}: events were lost, scanning", parts_->options.name, lost.reason);
      duty_->on_lost(lost.below, lost.reason);
    }
    more = drained->more;
    events += drained->events;
  }
  const auto pause = std::chrono::microseconds(limits::drain_pause_us);
  const MonotonicTime now = parts_->clock.now();
  const bool load = events > 0 && (ours == 0 || now < next_drain_ + pause);
  watch_waits_ = load;
  next_drain_ = load ? now + pause : now;
  return {};
}

std::optional<Duration> TreeEngine::time_to_wait() const {
  if (busy_) return Duration::zero();
  std::optional<MonotonicTime> until = duty_->deadline();
  if (watch_waits_ && (!until || next_drain_ < *until)) until = next_drain_;
  if (const auto at = handover_deadline(); at && (!until || *at < *until)) until = at;
  if (const auto at = scrub_->deadline(); at && (!until || *at < *until)) until = at;
  if (asking_ && (!until || asking_->until < *until)) until = asking_->until;
  if (alone_until_ && (!until || *alone_until_ < *until)) until = alone_until_;
  if (const auto at = parts_->guard.deadline(); at && (!until || *at < *until)) until = at;
  if (!until) return std::nullopt;
  return std::max(Duration::zero(), Duration(*until - parts_->clock.now()));
}

void TreeEngine::run_posted() {
  std::deque<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (const auto& task : tasks) task();
}

void TreeEngine::take_new_links() {
  std::vector<std::shared_ptr<Link>> links;
  {
    const std::lock_guard lock(mutex_);
    links.swap(new_links_);
  }
  for (std::shared_ptr<Link>& link : links) {
    const std::string peer = link->peer();
    for (const auto& session : sessions_) {
      if (session->link && session->peer == peer)
        session->link->close("replaced by a newer connection");
    }
    auto session = std::make_unique<Session>();
    session->link = std::move(link);
    session->number = ++sessions_made_;
    session->peer = peer;
    session->reason = "waiting for its hello";
    session->said = make_hello();
    session->link->send(Message(*session->said), Lane::prompt);
    sessions_.push_back(std::move(session));
  }
}

void TreeEngine::serve_sessions() {
  for (const auto& session : sessions_) {
    if (!session->link) continue;  // closed on this side
    // RACE: the last messages may arrive, and the connection end, between two calls; what arrived
    // before the end is there once open() is false. An end after this look wakes the engine again.
    const bool open = session->link->open();
    for (const Message& message : session->link->receive()) {
      if (const Hello* hello = std::get_if<Hello>(&message)) {
        if (!session->peer.empty() && hello->node != session->peer) {
          close_session(*session,
                        make_error(ErrorCode::untrusted, "it calls itself " + escape(hello->node)));
          break;
        }
        if (!std::ranges::count(parts_->options.nodes, hello->node) ||
            hello->node == parts_->options.node) {
          close_session(*session,
                        make_error(ErrorCode::untrusted,
                                   "node " + escape(hello->node) + " does not carry this tree"));
          break;
        }
        if (hello->version != protocol_version) {
          close_session(*session,
                        make_error(ErrorCode::protocol,
                                   "it speaks protocol version " + std::to_string(hello->version) +
                                       ", this node speaks " + std::to_string(protocol_version)));
          break;
        }
        session->peer = hello->node;
        session->hello = *hello;
        heard_[hello->node] = *hello;
        on_hello(*session);
        if (session->link) meet_for_handover(*session);
        if (!session->link) break;
        continue;
      }
      if (const auto* handover = std::get_if<Handover>(&message); handover && session->hello) {
        on_handover(*session, *handover);
        if (!session->link) break;
        continue;
      }
      if (const auto* word = std::get_if<KeysAnswer>(&message);
          word && word->diff && word->keys.empty()) {
        session->owes_word = false;
        continue;
      }
      std::optional<Status> done = listings_.on_message(*session, message);
      if (!done) done = differ_.on_message(*session, message);
      if (!done) done = duty_->on_message(*session, message);
      if (const Status& s = *done; !s) {
        close_session(*session, s.error());
        break;
      }
    }
    if (session->link && !open) close_session(*session, session->link->close_reason());
  }
  // Who was not decided on because of one that is closed now.
  if (std::erase_if(sessions_, [](const auto& session) { return !session->link; }) > 0)
    decide_again();
}

void TreeEngine::close_session(Session& session, const Error& why) {
  if (!session.link) return;
  const std::string& tree = parts_->options.name;
  if (why.code ==
      ErrorCode::closed) {  // that a peer goes away is ordinary; what it did wrong is not
    parts_->log.info("{}: connection with {} closed: {}", tree, escape(session.peer), why.message);
  } else {
    parts_->log.warn("{}: connection with {} closed: {}", tree, escape(session.peer), why.message);
  }
  last_errors_[session.peer] = why.message;
  session.link->on_ready({});
  session.link->close(why.message);
  listings_.on_closed(session);
  differ_.on_closed(session);
  duty_->on_closed(session);
  session.link.reset();
}

Hello TreeEngine::make_hello() const {
  Hello hello;
  hello.version = protocol_version;
  hello.features = feature_roles;
  hello.node = parts_->options.node;
  hello.tree = parts_->options.name;
  hello.role = parts_->state.role;
  hello.position = parts_->state.position;
  hello.epoch_seen = parts_->state.epoch_seen;
  hello.lineage = parts_->state.lineage;
  hello.policy = policy_hash(parts_->options.policy);
  const std::optional<DirSummary> root = parts_->index->summary(root_dir);
  hello.content = parts_->index->root_content();
  hello.identity = parts_->index->root_identity();
  hello.content_known = root && root->unknown == 0;
  hello.tree_empty = !root || root->children == 0;
  duty_->describe(hello);
  if (!primary_ && !not_deciding().empty()) hello.synced = false;
  if (primary_ && !regressed_.empty()) hello.drifted = true;
  return hello;
}

// Said again to those with whom nothing is decided, when something of it has changed.
// True: what was decided may give the duty work.
bool TreeEngine::say_hello() {
  const bool anybody =
      std::ranges::any_of(sessions_, [](const auto& s) { return s->link && !s->decided; });
  if (!anybody) return false;
  bool said = false;
  const Hello hello = make_hello();
  for (const auto& session : sessions_) {
    if (!session->link || session->decided) continue;
    if (session->said && same_but_progress(*session->said, hello)) continue;
    session->said = hello;
    session->link->send(Message(hello), Lane::prompt);
    if (session->hello) on_hello(*session);
    said = true;
  }
  return said;
}

void TreeEngine::request_facts(std::function<void(TreeFacts)> answer) {
  post([this, answer = std::move(answer)] { answer(facts()); });
}

void TreeEngine::request_wait(WaitRequest request, std::function<void(WaitAnswer)> answer) {
  post([this, request, answer = std::move(answer)]() mutable {
    if (!primary_) {
      answer(WaitAnswer{.result = WaitResult::not_primary,
                        .cut = parts_->state.position.cut,
                        .detail = "this node is not the primary: ask it there"});
      return;
    }
    if (parts_->watcher) {
      if (Status s = drain_watch(); !s) {
        answer(WaitAnswer{.result = WaitResult::held, .cut = {}, .detail = s.error().message});
        return;
      }
    }
    primary_->wait(request, std::move(answer));
  });
}

void TreeEngine::request_verify(VerifyOptions options, std::function<void(VerifyAnswer)> answer) {
  post([this, options, answer = std::move(answer)]() mutable {
    if (primary_) {
      if (parts_->watcher) static_cast<void>(drain_watch());
      primary_->verify(options, std::move(answer));
      return;
    }
    VerifyAnswer no;
    no.peers.push_back({.name = parts_->options.node,
                        .outcome = VerifyAnswer::Outcome::failed,
                        .detail = "this node is not the primary: verify there",
                        .differences = {}});
    answer(std::move(no));
  });
}

void TreeEngine::request_approve(std::function<void(Result<uint64_t>)> answer) {
  post([this, answer = std::move(answer)] {
    answer(primary_ ? primary_->approve() : secondary_->approve());
  });
}

TreeFacts TreeEngine::facts() const {
  TreeFacts facts;
  const TreeOptions& options = parts_->options;
  facts.tree = options.name;
  facts.node = options.node;
  facts.root = options.root;
  facts.staging = parts_->staging_path;
  facts.role = parts_->state.role;
  facts.position = parts_->state.position;
  facts.watch_mode =
      parts_->watcher ? std::string(watch::to_string(parts_->watcher->mode())) : "none";
  facts.watch_why = parts_->watch_why;
  facts.guard = parts_->guard.state();
  if (!parts_->guard.fault().empty()) facts.errors.push_back(parts_->guard.fault());
  facts.io_backend = std::string(parts_->backend->name());
  const IndexCounts counts = parts_->index->counts();
  facts.entries = counts.entries;
  facts.bytes = counts.bytes;
  scrub_->describe(facts);
  for (const std::string& node : options.nodes) {
    if (node == options.node) continue;
    PeerFacts peer;
    peer.name = node;
    peer.phase = "away";
    if (const auto at = last_errors_.find(node); at != last_errors_.end())
      peer.last_error = at->second;
    for (const auto& session : sessions_) {
      if (!session->link || session->peer != node) continue;
      peer.connected = true;
      peer.heard = session->hello.has_value();
      peer.phase = session->held ? "held" : session->decided ? "connected" : "waiting";
      peer.held = session->held;
      peer.reason = session->reason;
      peer.wire = session->link->counters();
      if (session->well) peer.last_error.clear();
    }
    facts.peers.push_back(std::move(peer));
  }
  if (primary_) primary_->describe(facts);
  if (secondary_) secondary_->describe(facts);
  describe_role(facts);
  if (Status s = parts_->index->health(); !s) facts.errors.push_back(s.error().message);
  for (const PeerFacts& peer : facts.peers) {
    if (peer.held && !peer.reason.empty()) facts.holds.push_back(peer.name + ": " + peer.reason);
  }
  return facts;
}

}  // namespace repl::run
