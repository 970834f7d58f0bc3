#include "cli/tree_host.h"

#include <future>
#include <new>
#include <system_error>
#include <utility>

#include "cli/names.h"
#include "cli/version.h"
#include "engine/base/escape.h"

namespace repl::cli {

namespace {

constexpr auto reopen_delay = std::chrono::seconds(2);

const char* bottleneck_name(Bottleneck bottleneck) {
  switch (bottleneck) {
    case Bottleneck::none:
      return "";
    case Bottleneck::link:
      return "link";
    case Bottleneck::processor:
      return "processor";
  }
  return "";
}

// Where memory, or a thread, is not to be had, the tree ends as it would in a crash: nothing more
// of it becomes durable, and it is opened again through recovery. The other trees go on.
template <typename Step>
std::invoke_result_t<Step> guarded(const Step& step) {
  try {
    return step();
  } catch (const std::bad_alloc&) {
    return fail(
        ErrorCode::limit,
        "there is no memory left for this tree: raise the limit of the process, or see what "
        "else takes it; it is tried again",
        Remedy::hold);
  } catch (const std::system_error& error) {
    return fail(ErrorCode::limit,
                std::string("there is no thread or memory left for this tree: ") + error.what() +
                    "; it is tried again",
                Remedy::hold);
  }
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
  peer.loose_since_cut = facts.loose_since.value;
  peer.large_files = facts.large_files;
  peer.held_back = facts.held_back;
  peer.hold = facts.held ? facts.reason : "";
  peer.held_keys = facts.held_keys;
  peer.hot_files = facts.hot_files;
  peer.last_error = facts.last_error;
  if (!facts.held && facts.connected && !facts.reason.empty() && peer.last_error.empty()) {
    peer.last_error = facts.reason;
  }
  peer.wire = WireCounters{.bytes_out = facts.wire.wire_bytes_out,
                           .bytes_in = facts.wire.wire_bytes_in,
                           .plain_bytes_out = facts.wire.plain_bytes_out,
                           .plain_bytes_in = facts.wire.plain_bytes_in,
                           .messages_out = facts.wire.messages_out,
                           .messages_in = facts.wire.messages_in,
                           .zstd_level = facts.wire.zstd_level,
                           .zstd_window_bytes = facts.wire.zstd_window_bytes,
                           .bottleneck = bottleneck_name(facts.wire.bottleneck)};
  peer.methods = MethodCounts{.metadata = facts.methods.metadata,
                              .inlined = facts.methods.inlined,
                              .copied = facts.methods.copied,
                              .linked = facts.methods.linked,
                              .append = facts.methods.append,
                              .aligned = facts.methods.aligned,
                              .rolling = facts.methods.rolling,
                              .whole = facts.methods.whole,
                              .removed = facts.methods.removed,
                              .literal_bytes = facts.methods.literal_bytes,
                              .saved_bytes = facts.methods.saved_bytes,
                              .rolling_bytes = facts.methods.rolling_bytes,
                              .signature_requests = facts.methods.signature_requests};
  return peer;
}

}  // namespace

TreeHost::TreeHost(run::TreeOptions options, const Clock& clock, Log& log, PeerRoutes routes,
                   Hooks* hooks)
    : options_(std::move(options)),
      clock_(clock),
      log_(log),
      routes_(std::move(routes)),
      hooks_(hooks),
      started_(clock.wall_ns() / 1'000'000'000) {
  if (hooks_ == nullptr) return;
  options_.on_event = [hooks](const run::TreeEvent& event) { hooks->post(event); };
  options_.run_hook = [hooks](const run::TreeEvent& event,
                              std::function<void(const Status&)> done) {
    hooks->run(event, [done = std::move(done)](const HookResult& result) {
      done(!result.failed() ? Status() : fail(ErrorCode::io, result.describe()));
    });
  };
}

TreeHost::~TreeHost() { stop(); }

Status TreeHost::start() {
  Status first;
  auto opened = guarded([&] { return run::TreeEngine::open(options_, clock_, log_); });
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
      ended = guarded([&] { return engine->run(); });
    }
    std::unique_lock lock(mutex_);
    // With the engine goes the reason: whoever finds none is told why.
    error_ = !ended ? ended.error() : make_error(ErrorCode::closed, "the daemon is ending");
    engine_.reset();
    lock.unlock();
    engine.reset();
    lock.lock();
    if (stop_) return;
    if (told != error_.message) {
      log_.error("{}: {}", options_.name, error_.message);
      if (hooks_ != nullptr)
        hooks_->post({.kind = run::TreeEvent::Kind::held, .peer = {}, .reason = error_.message});
    }
    told = error_.message;
    changed_.wait_for(lock, reopen_delay, [this] { return stop_; });
    if (stop_) return;
    lock.unlock();
    auto opened = guarded([&] { return run::TreeEngine::open(options_, clock_, log_); });
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

bool TreeHost::settled(std::vector<std::string>& missing) {
  const std::optional<run::TreeFacts> now = facts();
  if (!now) return false;
  const std::lock_guard lock(mutex_);
  for (const run::PeerFacts& peer : now->peers) {
    const bool failed = !peer.connected && peer_errors_.contains(peer.name);
    if (!peer.heard && !failed) missing.push_back(peer.name);
  }
  return now->state != "scanning" && missing.empty();
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
  status.current = facts.current;
  status.primary = facts.primary;
  status.incomplete = facts.incomplete;
  status.consistency = facts.consistency;
  status.unordered_cuts = facts.unordered_cuts;
  status.watch_mode = facts.watch_mode;
  status.watch_why = facts.watch_why;
  status.holds = facts.holds;
  status.held_keys = facts.held_paths;
  status.held_keys_total = facts.held_keys;
  status.errors = facts.errors;
  status.scrub_verified_unix_seconds = facts.scrub_verified;
  status.scrub_running = facts.scrub_running;
  status.entries = facts.entries;
  status.bytes = facts.bytes;
  status.guard = facts.guard;
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

}  // namespace repl::cli
