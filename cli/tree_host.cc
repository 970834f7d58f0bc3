#include "cli/tree_host.h"

#include <algorithm>
#include <future>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/json.h"
#include "cli/version.h"
#include "engine/base/escape.h"

namespace repl::cli {

namespace {

constexpr auto reopen_delay = std::chrono::seconds(2);

}  // namespace

// A request whose answer comes from the engine's thread, or never: then that is the answer.
class Asked {
 public:
  explicit Asked(Reply to) : reply(std::move(to)) {}
  ~Asked() {  // nothing where an answer was given
    reply.failed("the tree was closed before it could answer; ask again", exit_failed);
  }
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;

  Reply reply;
};

namespace {

const char* role_name(Role role) {
  switch (role) {
    case Role::primary:
      return "primary";
    case Role::secondary:
      return "secondary";
    case Role::none:
      return "none";
  }
  return "none";
}

const char* outcome_name(run::VerifyAnswer::Outcome outcome) {
  using Outcome = run::VerifyAnswer::Outcome;
  switch (outcome) {
    case Outcome::equal:
      return "equal";
    case Outcome::equal_except_held:
      return "equal except held";
    case Outcome::held:
      return "held";
    case Outcome::peer_away:
      return "away";
    case Outcome::failed:
      return "failed";
    case Outcome::different:
      return "different";
  }
  return "failed";
}

PeerStatus to_peer_status(const run::PeerFacts& facts) {
  PeerStatus peer;
  peer.name = facts.name;
  peer.connected = facts.connected;
  peer.phase = facts.held ? "held" : facts.phase;
  peer.lag_seconds = facts.lag_seconds;
  peer.lag_paths = facts.lag_paths;
  peer.lag_bytes = facts.lag_bytes;
  peer.acked_applied_cut = facts.applied.value;
  peer.acked_durable_cut = facts.durable.value;
  if (facts.transferring) {
    peer.progress = TransferProgress{.files_done = facts.files_done,
                                     .files_total = facts.files_total,
                                     .bytes_done = facts.bytes_done,
                                     .bytes_total = facts.bytes_total};
  }
  peer.hold = facts.held ? facts.reason : "";
  peer.held_keys = facts.held_keys;
  peer.last_error = facts.last_error;
  if (!facts.held && facts.connected && !facts.reason.empty() && peer.last_error.empty()) {
    peer.last_error = facts.reason;
  }
  peer.wire = WireCounters{.bytes_out = facts.wire.wire_bytes_out,
                           .bytes_in = facts.wire.wire_bytes_in,
                           .plain_bytes_out = facts.wire.plain_bytes_out,
                           .plain_bytes_in = facts.wire.plain_bytes_in,
                           .messages_out = facts.wire.messages_out,
                           .messages_in = facts.wire.messages_in};
  return peer;
}

}  // namespace

TreeHost::TreeHost(run::TreeOptions options, const Clock& clock, Log& log, PeerRoutes routes)
    : options_(std::move(options)),
      clock_(clock),
      log_(log),
      routes_(std::move(routes)),
      started_(clock.wall_ns() / 1'000'000'000) {}

TreeHost::~TreeHost() { stop(); }

Status TreeHost::start() {
  Status first;
  auto opened = run::TreeEngine::open(options_, clock_, log_);
  {
    const std::lock_guard lock(mutex_);
    if (opened) {
      engine_ = std::move(*opened);
    } else {
      error_ = opened.error();
      first = fail(opened.error());
    }
  }
  thread_ = std::thread([this] { loop(); });
  return first;
}

void TreeHost::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    if (engine_) engine_->stop();
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

// A tree that cannot be opened or had to give up is tried again: the root may be mounted later.
void TreeHost::loop() {
  std::string told;
  for (;;) {
    std::shared_ptr<run::TreeEngine> engine;
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return;
      engine = engine_;
    }
    Status ended = fail(last_error());
    if (engine) {
      told.clear();
      ended = engine->run();
    }
    std::unique_lock lock(mutex_);
    // With the engine goes the reason: whoever finds none is told why.
    error_ = !ended ? ended.error() : make_error(ErrorCode::closed, "the daemon is ending");
    engine_.reset();
    lock.unlock();
    engine.reset();
    lock.lock();
    if (stop_) return;
    if (told != error_.message) log_.error("{}: {}", options_.name, error_.message);
    told = error_.message;
    changed_.wait_for(lock, reopen_delay, [this] { return stop_; });
    if (stop_) return;
    lock.unlock();
    auto opened = run::TreeEngine::open(options_, clock_, log_);
    lock.lock();
    if (opened) {
      engine_ = std::move(*opened);
      error_ = Error{};
    } else {
      error_ = opened.error();
    }
  }
}

void TreeHost::attach(std::shared_ptr<run::Link> link) {
  const std::lock_guard lock(mutex_);
  if (engine_) {
    engine_->attach(std::move(link));
  } else {
    link->close("the tree is not open on the other node: " + error_.message);
  }
}

std::optional<run::TreeFacts> TreeHost::facts() {
  auto promise = std::make_shared<std::promise<run::TreeFacts>>();
  std::future<run::TreeFacts> future = promise->get_future();
  std::shared_ptr<run::TreeEngine> engine;
  {
    const std::lock_guard lock(mutex_);
    if (!engine_) return std::nullopt;
    engine = engine_;
    engine->request_facts(
        [promise](run::TreeFacts facts) { promise->set_value(std::move(facts)); });
  }
  engine.reset();
  promise.reset();
  while (future.wait_for(std::chrono::milliseconds(200)) != std::future_status::ready) {
    const std::lock_guard lock(mutex_);
    if (stop_ || !engine_) return std::nullopt;
  }
  try {
    return future.get();
  } catch (const std::future_error&) {
    return std::nullopt;  // the engine ended before it came to the question
  }
}

void TreeHost::set_peer_error(const std::string& node, const std::string& error) {
  const std::lock_guard lock(mutex_);
  peer_errors_[node] = error;
}

Error TreeHost::last_error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void TreeHost::add_route(PeerStatus& peer) const {
  const auto at = routes_.find(peer.name);
  if (at == routes_.end()) return;
  peer.transport = at->second.transport;
  peer.bandwidth_limit = at->second.bandwidth_limit;
}

TreeStatus TreeHost::status_when_closed() const {
  TreeStatus status;
  status.version = version;
  status.tree = options_.name;
  status.node = options_.node;
  status.root = escape(options_.root);
  status.role = "none";
  status.state = "held";
  status.started_unix_seconds = started_;
  status.holds.push_back(error_.message);
  for (const std::string& node : options_.nodes) {
    if (node == options_.node) continue;
    PeerStatus peer;
    peer.name = node;
    peer.phase = "away";
    add_route(peer);
    status.peers.push_back(std::move(peer));
  }
  return status;
}

TreeStatus TreeHost::to_status(const run::TreeFacts& facts) const {
  TreeStatus status;
  status.version = version;
  status.tree = facts.tree;
  status.node = facts.node;
  status.root = escape(facts.root);
  status.role = role_name(facts.role);
  status.state = !facts.holds.empty()         ? "held"
                 : facts.state == "following" ? "synced"
                                              : facts.state;
  status.epoch = facts.position.epoch.value;
  status.reign = facts.position.reign.is_set() ? to_hex(facts.position.reign) : "";
  status.cut = facts.position.cut.value;
  status.unordered_cuts = facts.unordered_cuts;
  status.watch_mode = facts.watch_mode;
  status.watch_why = facts.watch_why;
  status.holds = facts.holds;
  status.held_keys = facts.held_paths;
  status.held_keys_total = facts.held_keys;
  status.errors = facts.errors;
  status.entries = facts.entries;
  status.bytes = facts.bytes;
  status.io_backend = facts.io_backend;
  status.started_unix_seconds = started_;
  const std::lock_guard lock(mutex_);
  status.last_verification = verified_;
  for (const run::PeerFacts& peer : facts.peers) {
    PeerStatus one = to_peer_status(peer);
    const auto at = peer_errors_.find(peer.name);
    if (!peer.connected && at != peer_errors_.end()) one.last_error = at->second;
    add_route(one);
    status.peers.push_back(std::move(one));
  }
  return status;
}

void TreeHost::handle(const Request& request, const Reply& reply) {
  const std::lock_guard lock(mutex_);
  if (!engine_) {
    if (request.command == "status") {
      Reply(reply).done(to_json(status_when_closed()));
    } else {
      Reply(reply).failed("tree " + options_.name + " is not open: " + error_.message, exit_held);
    }
    return;
  }
  const auto asked = std::make_shared<Asked>(reply);
  if (request.command == "status") {
    engine_->request_facts([this, asked](const run::TreeFacts& facts) {
      asked->reply.done(to_json(to_status(facts)));
    });
  } else if (request.command == "wait") {
    handle_wait(request, asked);
  } else if (request.command == "verify") {
    handle_verify(request, asked);
  } else if (request.command == "approve") {
    const auto kept = std::make_shared<std::string>();  // the engine answers in the order asked
    engine_->request_facts([kept](const run::TreeFacts& facts) {
      if (facts.role == Role::secondary) *kept = escape(facts.staging + "/kept");
    });
    engine_->request_approve([asked, kept](const Result<uint64_t>& released) {
      if (!released) return asked->reply.failed(released.error().message, exit_peer_away);
      asked->reply.done(
          print_json(Json{{"released", *released}, {"kept", *released > 0 ? *kept : ""}}));
    });
  } else {
    Reply(reply).failed("this daemon does not know the command " + escape(request.command),
                        exit_usage);
  }
}

void TreeHost::handle_wait(const Request& request, const std::shared_ptr<Asked>& asked) {
  run::WaitRequest wait;
  const std::string level = request.text("for", "durable");
  wait.level = level == "received"  ? AckLevel::received
               : level == "applied" ? AckLevel::applied
                                    : AckLevel::durable;
  if (request.options.contains("timeout_ms")) {
    wait.timeout_ms = static_cast<int64_t>(request.number("timeout_ms", 0));
  }
  wait.wait_for_peers = request.flag("wait_for_peers");
  wait.abandoned = [reply = asked->reply] { return reply.abandoned(); };
  engine_->request_wait(wait, [asked](const run::WaitAnswer& answer) {
    Reply& reply = asked->reply;
    switch (answer.result) {
      case run::WaitResult::reached:
        return reply.done(print_json(Json{{"cut", answer.cut.value}}));
      case run::WaitResult::peer_away:
        return reply.failed(answer.detail + "; --wait-for-peers waits until it is back",
                            exit_peer_away);
      case run::WaitResult::held:
        return reply.failed(answer.detail, exit_held);
      case run::WaitResult::timeout:
        return reply.failed("not reached in time: " + answer.detail, exit_timeout);
      case run::WaitResult::not_primary:
        return reply.failed(answer.detail, exit_failed);
      case run::WaitResult::closed:
        return;  // Asked says so
    }
  });
}

void TreeHost::handle_verify(const Request& request, const std::shared_ptr<Asked>& asked) {
  run::VerifyOptions options;
  options.sha256 = request.flag("sha256");
  options.full = request.flag("full") || options.sha256;
  options.abandoned = [reply = asked->reply] { return reply.abandoned(); };
  options.progress = [reply = asked->reply](uint64_t done, uint64_t total) mutable {
    reply.progress(print_json(Json{{"bytes_done", done}, {"bytes_total", std::max(done, total)}}));
  };
  engine_->request_verify(options,
                          [this, full = options.full, asked](const run::VerifyAnswer& answer) {
                            answer_verify(answer, full, asked->reply);
                          });
}

void TreeHost::answer_verify(const run::VerifyAnswer& answer, bool full, Reply& reply) {
  using Outcome = run::VerifyAnswer::Outcome;
  const auto is_equal = [](Outcome outcome) {
    return outcome == Outcome::equal || outcome == Outcome::equal_except_held;
  };
  const bool equal = is_equal(answer.outcome);
  if (!equal && answer.outcome != Outcome::different) {  // nothing is known
    std::string why;
    for (const auto& peer : answer.peers) {
      if (peer.outcome == answer.outcome)
        why += (why.empty() ? "" : "; ") + peer.name + ": " + peer.detail;
    }
    return reply.failed("not verified: " + why, answer.outcome == Outcome::held ? exit_held
                                                : answer.outcome == Outcome::peer_away
                                                    ? exit_peer_away
                                                    : exit_failed);
  }
  const std::vector<std::string> none;
  std::string compared;
  Json peers = Json::array();
  uint64_t held = 0;
  for (const auto& peer : answer.peers) {
    const bool but_held = peer.outcome == Outcome::equal_except_held;
    const uint64_t peer_held = but_held ? peer.differences.size() : 0;
    held += peer_held;
    if (is_equal(peer.outcome) || peer.outcome == Outcome::different)
      compared += (compared.empty() ? "" : ", ") + peer.name;
    peers.push_back(Json{{"name", peer.name},
                         {"equal", is_equal(peer.outcome)},
                         {"outcome", outcome_name(peer.outcome)},
                         {"held", peer_held},
                         {"held_paths", but_held ? peer.differences : none},
                         {"detail", peer.detail},
                         {"entries", answer.entries},
                         {"bytes_read", peer.bytes_read},
                         {"sha256", peer.sha256},
                         {"mismatches", is_equal(peer.outcome) ? none : peer.differences}});
  }
  {
    const std::lock_guard lock(mutex_);
    verified_ = Verification{.equal = equal,
                             .full = full,
                             .at_unix_seconds = clock_.wall_ns() / 1'000'000'000,
                             .cut = answer.position.cut.value,
                             .peer = compared.empty() ? "itself" : compared};
  }
  reply.done(print_json(Json{{"equal", equal},
                             {"held", held},
                             {"position",
                              {{"epoch", answer.position.epoch.value},
                               {"reign", to_hex(answer.position.reign)},
                               {"cut", answer.position.cut.value}}},
                             {"fingerprint", to_hex(answer.content)},
                             {"sha256", answer.sha256},
                             {"entries", answer.entries},
                             {"bytes_read", answer.bytes_read},
                             {"differences_here", answer.differences},
                             {"peers", std::move(peers)}}));
}

}  // namespace repl::cli
