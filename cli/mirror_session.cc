#include "cli/mirror_session.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <utility>

#include "cli/channel_link.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/json.h"
#include "cli/log_sink.h"
#include "cli/mirror_tree.h"
#include "cli/progress.h"
#include "cli/serve_request.h"
#include "cli/tree_host.h"
#include "engine/base/escape.h"
#include "transport/backoff.h"
#include "transport/io_thread.h"
#include "transport/ssh.h"

namespace repl::cli {

namespace {

constexpr auto poll_interval = std::chrono::milliseconds(50);
constexpr auto live_interval = std::chrono::milliseconds(500);

// One mirror: the source's engine, and the copy's here or behind ssh.
class Mirror {
 public:
  Mirror(const MirrorOptions& options, const Clock& clock, Log& log)
      : options_(options), clock_(clock), log_(log), backoff_(std::random_device{}()) {}
  ~Mirror() {
    if (source_) source_->stop();
    if (copy_) copy_->stop();
  }
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;

  int run();

 private:
  Status prepare();  // what the command line says; nothing has begun
  Status connect();
  int follow();
  void make_line();
  Status prepare_destination(const MirrorSource& source);
  Status start_copy();
  bool stopped();
  void show(const run::TreeFacts& facts, const run::PeerFacts& peer);
  void say(const std::string& line) const;
  int finish(const run::TreeFacts& facts, const run::PeerFacts& peer);
  int interrupted();
  int give_up(const Error& error);
  void tell(const std::string& error);

  const MirrorOptions& options_;
  const Clock& clock_;
  Log& log_;
  transport::Backoff backoff_;
  MirrorTree tree_;
  std::vector<std::string> only_;
  std::string destination_;
  bool create_destination_ = false;
  std::unique_ptr<transport::IoThread> io_;
  std::unique_ptr<TreeHost> source_;
  std::unique_ptr<TreeHost> copy_;
  std::shared_ptr<ChannelLink> link_;
  std::unique_ptr<ProgressLine> line_;
  bool was_in_sync_ = false;
  bool equal_ = false;
  std::vector<std::string> errors_;  // all that were told
};

bool is_in_sync(const run::TreeFacts& facts, const run::PeerFacts& peer) {
  return peer.phase == "in sync" && peer.durable >= facts.position.cut;
}

bool is_remote(const MirrorOptions& options) { return !options.destination.host.empty(); }

Status Mirror::prepare() {
  Result<MirrorSource> source = resolve_source(options_.source);
  if (!source) return fail(source.error());
  if (!source->only.empty()) only_.push_back(source->only);
  tree_.root = source->root;
  tree_.once = options_.once;
  tree_.delete_extra = options_.delete_extra;
  Result<Filter> filter = Filter::make(options_.rules, only_);
  if (!filter) return fail(filter.error());
  tree_.policy.filter = std::move(*filter);
  if (Status s = prepare_destination(*source); !s) return s;
  const std::string pair =
      options_.destination.user + "@" + options_.destination.host + ":" + destination_;
  auto engine = mirror_tree_options(
      tree_, run::Standing::mirror_source,
      mirror_state_dir(options_.global, tree_.root + "\n" + source->name + "\n" + pair, "source"));
  if (!engine) return fail(engine.error());
  source_ = std::make_unique<TreeHost>(std::move(*engine), clock_, log_);
  return {};
}

Status Mirror::prepare_destination(const MirrorSource& source) {
  destination_ = options_.destination.path;
  create_destination_ = true;
  if (is_remote(options_)) return {};
  namespace fs = std::filesystem;
  std::error_code code;
  Result<std::string> root = copy_root(destination_, only_);
  if (!root) return fail(root.error());
  destination_ = std::move(*root);
  const fs::path from = fs::weakly_canonical(tree_.root, code);
  const fs::path to = fs::weakly_canonical(destination_, code);
  const auto inside = [](const fs::path& inner, const fs::path& outer) {
    return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first ==
           outer.end();
  };
  if (!source.only.empty() && from == to) {
    return fail(ErrorCode::invalid, "source and destination are the same file: " +
                                        escape((from / source.name).string()));
  }
  if (source.only.empty() && (inside(to, from) || inside(from, to))) {
    return fail(ErrorCode::invalid, "source and destination lie within each other: " +
                                        escape(from.string()) + " and " + escape(to.string()));
  }
  return {};
}

Status Mirror::start_copy() {
  MirrorTree tree = tree_;
  tree.root = destination_;
  tree.create_root = create_destination_;
  auto engine =
      mirror_tree_options(tree, run::Standing::mirror_copy,
                          mirror_state_dir(options_.global, copy_key(destination_, only_), "copy"));
  if (!engine) return fail(engine.error());
  copy_ = std::make_unique<TreeHost>(std::move(*engine), clock_, log_);
  return copy_->start();
}

Status Mirror::connect() {
  if (!is_remote(options_)) {
    if (!copy_) {
      if (Status s = start_copy(); !s) return s;
    }
    transport::ChannelPair pair = transport::make_memory_pair(false);
    link_ = std::make_shared<ChannelLink>(std::move(pair.left), mirror_copy_node);
    source_->attach(link_);
    copy_->attach(std::make_shared<ChannelLink>(std::move(pair.right), mirror_source_node));
    return {};
  }
  if (!io_) io_ = std::make_unique<transport::IoThread>();
  ServeRequest request{.tree = {},
                       .root = destination_,
                       .delete_extra = options_.delete_extra,
                       .create_root = create_destination_,
                       .rules = options_.rules,
                       .only = only_,
                       .ids_by_name = false};
  Result<std::string> session = encode_serve_request(request);
  if (!session) return fail(session.error());
  transport::SshTarget target{.user = options_.destination.user,
                              .host = options_.destination.host,
                              .port = options_.ssh.port,
                              .identity_file = options_.ssh.identity,
                              .ssh_args = {},
                              .remote_repl = options_.remote_repl,
                              .serve_args = {"--session", *session}};
  for (const std::string& option : options_.ssh.options) {
    target.ssh_args.emplace_back("-o");
    target.ssh_args.push_back(option);
  }
  auto channel = transport::make_ssh_channel(
      *io_, target,
      transport::SessionOptions{.peer_name = mirror_copy_node,
                                .bandwidth_bytes_per_s = options_.bandwidth_bytes_per_second,
                                .clock = clock_,
                                .log = log_});
  if (!channel) return fail(channel.error());
  link_ = std::make_shared<ChannelLink>(std::move(*channel));
  source_->attach(link_);
  return {};
}

bool Mirror::stopped() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  const auto wait = was_in_sync_ ? live_interval : poll_interval;
  const timespec timeout{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(wait).count()};
  return ::sigtimedwait(&signals, nullptr, &timeout) > 0;
}

void Mirror::say(const std::string& line) const {
  if (options_.quiet || options_.json) return;
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

void Mirror::show(const run::TreeFacts& facts, const run::PeerFacts& peer) {
  const TransferProgress progress{.files_done = peer.files_done,
                                  .files_total = std::max(peer.files_total, peer.files_done),
                                  .bytes_done = peer.bytes_done,
                                  .bytes_total = std::max(peer.bytes_total, peer.bytes_done)};
  const bool in_sync = is_in_sync(facts, peer);
  if (in_sync && !was_in_sync_) {
    was_in_sync_ = true;
    if (line_) line_->finish(progress);
    if (options_.json) {
      fmt::print("{}\n",
                 print_json(Json{
                     {"event", "in_sync"}, {"entries", facts.entries}, {"bytes", facts.bytes}}));
      std::fflush(stdout);
    }
    if (!options_.once) {
      say(fmt::format("in sync: {} entries, {}; following changes ({}), Ctrl-C ends", facts.entries,
                      human_bytes(facts.bytes), facts.watch_mode));
    }
  } else if (line_ && !in_sync && !was_in_sync_ && peer.transferring) {
    line_->update(progress);
  }
}

int Mirror::finish(const run::TreeFacts& facts, const run::PeerFacts& peer) {
  for (const std::string& error : facts.errors) tell("not mirrored: " + error);
  for (const std::string& hold : facts.holds) tell(hold);
  const bool in_sync = is_in_sync(facts, peer);
  equal_ = in_sync && facts.errors.empty() && facts.holds.empty() && peer.held_keys == 0;
  if (!facts.errors.empty() || peer.held_keys > 0) return exit_failed;
  if (!facts.holds.empty()) return exit_held;
  if (options_.once && !in_sync) return interrupted();
  if (options_.once) {
    say(fmt::format("equal: {} entries, {}", facts.entries, human_bytes(facts.bytes)));
  }
  return exit_ok;
}

// Never a success: what follows `mirror --once &&` may remove the source.
int Mirror::interrupted() {
  return give_up(make_error(ErrorCode::closed,
                            "interrupted before both were equal; run it again, it goes on where "
                            "it stopped"));
}

int Mirror::give_up(const Error& error) {
  tell(error.message);
  return exit_code_of(error);
}

void Mirror::tell(const std::string& error) {
  if (line_) line_->break_off();
  report(error, exit_failed);
  errors_.push_back(error);
}

void Mirror::make_line() {
  if (options_.quiet) return;
  const ProgressStyle style = options_.json                  ? ProgressStyle::json
                              : ::isatty(STDERR_FILENO) == 1 ? ProgressStyle::terminal
                                                             : ProgressStyle::plain;
  FILE* const to = options_.json ? stdout : stderr;
  line_ = std::make_unique<ProgressLine>(clock_, style, 80, [to](std::string_view text) {
    fmt::print(to, "{}", text);
    std::fflush(to);
  });
}

int Mirror::run() {
  make_line();
  int exit = exit_ok;
  if (Status s = prepare(); !s) {
    exit = give_up(s.error());
    if (s.error().code == ErrorCode::invalid) exit = exit_usage;
  } else {
    s = source_->start();
    if (s) s = connect();
    exit = s ? follow() : give_up(s.error());
  }
  if (options_.json) {
    fmt::print(
        "{}\n",
        print_json(Json{{"event", "end"}, {"equal", equal_}, {"errors", errors_}, {"exit", exit}}));
    std::fflush(stdout);
  }
  return exit;
}

int Mirror::follow() {
  std::optional<MonotonicTime> reconnect_at;
  for (;;) {
    const bool stop = stopped();
    const std::optional<run::TreeFacts> facts = source_->facts();
    if (!facts || facts->peers.empty()) {
      const Error error = source_->last_error();
      if (stop) return options_.once ? interrupted() : exit_ok;
      if (options_.once || !was_in_sync_) return give_up(error);
      continue;
    }
    const run::PeerFacts& peer = facts->peers.front();
    log_.debug("{}: {} applied {} durable {} of {}, files {}/{}, held {}", facts->state, peer.phase,
               peer.applied.value, peer.durable.value, facts->position.cut.value, peer.files_done,
               peer.files_total, peer.held_keys);
    show(*facts, peer);
    if (!facts->holds.empty()) return finish(*facts, peer);
    if (stop || (options_.once && was_in_sync_)) return finish(*facts, peer);
    if (link_->open()) {
      if (peer.phase == "in sync") backoff_.reset();
      reconnect_at.reset();
      continue;
    }
    if (!was_in_sync_ || options_.once) return give_up(link_->close_reason());
    if (!reconnect_at) {
      log_.warn("the connection was lost: {}; trying again", link_->close_reason().message);
      reconnect_at = clock_.now() + backoff_.next();
    } else if (clock_.now() >= *reconnect_at) {
      reconnect_at.reset();
      if (Status s = connect(); !s) log_.warn("{}", s.error().message);
    }
  }
}

}  // namespace

int run_mirror(const MirrorOptions& options) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  const SystemClock clock;
  const std::unique_ptr<Log> log =
      make_log(options.global.log_level.value_or(LogLevel::warn), clock);
  return Mirror(options, clock, *log).run();
}

}  // namespace repl::cli
