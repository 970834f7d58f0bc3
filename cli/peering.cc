#include "cli/peering.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <future>
#include <random>
#include <utility>

#include "cli/serve_request.h"
#include "engine/base/escape.h"
#include "transport/backoff.h"
#include "transport/dialer.h"
#include "transport/ssh.h"

namespace repl::cli {

namespace {

constexpr Duration useful_connection = std::chrono::seconds(3);
// A role that changes voids what was agreed: dialled again at once; each time in a row that this
// follows at once, twice as late.
constexpr Duration hello_again_pause = std::chrono::milliseconds(20);
constexpr Duration hello_again_useful = std::chrono::milliseconds(200);
constexpr int hello_again_doublings_max = 6;
constexpr Duration accept_pause = std::chrono::milliseconds(200);

}  // namespace

std::string link_socket_path(const std::string& runtime_dir, const std::string& tree) {
  return runtime_dir + "/" + tree + ".link";
}

Peering::Peering(const RunOptions& options, const TreeConfig& tree,
                 const transport::Identity* identity, TreeHost& host, const Clock& clock, Log& log)
    : options_(options), tree_(tree), identity_(identity), host_(host), clock_(clock), log_(log) {}

Result<std::unique_ptr<Peering>> Peering::start(const RunOptions& options, const TreeConfig& tree,
                                                const transport::Identity* identity, TreeHost& host,
                                                const Clock& clock, Log& log) {
  std::unique_ptr<Peering> peering(new Peering(options, tree, identity, host, clock, log));
  bool listens_tls = false;
  bool listens_link = false;
  for (const std::string& node : tree.nodes) {
    if (node == options.node || dials(tree, options.node, node)) continue;
    const bool ssh = transport_between(tree, options.node, node) == Transport::ssh;
    (ssh ? listens_link : listens_tls) = true;
  }
  if (listens_tls) {
    if (Status s = peering->listen_tls(); !s) return fail(s.error());
  }
  if (listens_link) {
    if (Status s = peering->listen_link(); !s) return fail(s.error());
  }
  for (const std::string& node : tree.nodes) {
    if (node == options.node || !dials(tree, options.node, node)) continue;
    peering->threads_.emplace_back([p = peering.get(), node] { p->dial_for_ever(node); });
  }
  return peering;
}

Peering::~Peering() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    for (const auto& [node, link] : dialled_) link->interrupt();
  }
  changed_.notify_all();
  if (stop_event_.valid()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(stop_event_.get(), &one, sizeof one);
  }
  listener_.reset();
  for (std::thread& thread : threads_) thread.join();
  if (link_socket_.valid())
    ::unlink(link_socket_path(options_.global.runtime_dir, tree_.name).c_str());
}

transport::SessionOptions Peering::session_options(const std::string& node) const {
  const auto peer = tree_.peers.find(node);
  return transport::SessionOptions{
      .peer_name = node,
      .bandwidth_bytes_per_s =
          peer == tree_.peers.end() ? 0 : peer->second.bandwidth_bytes_per_second,
      .clock = clock_,
      .log = log_};
}

Status Peering::listen_tls() {
  if (identity_ == nullptr) {
    return fail(ErrorCode::untrusted,
                "this node has no key: run `repl keygen` and put its fingerprint into the "
                "config file of every node");
  }
  std::vector<transport::Pin> pins;
  for (const std::string& node : tree_.nodes) {
    if (node == options_.node) continue;
    for (const std::string& fingerprint : options_.config.nodes.at(node).fingerprints) {
      pins.push_back(
          transport::Pin{.node = node,
                         .fingerprint = fingerprint,
                         .bandwidth_bytes_per_s = tree_.peers.at(node).bandwidth_bytes_per_second});
    }
  }
  auto opened = transport::Listener::open(
      io_, *identity_, "", tree_.port, std::move(pins), session_options(""),
      [this](std::shared_ptr<transport::Channel> channel) {
        host_.attach(std::make_shared<ChannelLink>(std::move(channel)));
      });
  if (!opened) return fail(opened.error());
  listener_ = std::move(*opened);
  return {};
}

Status Peering::listen_link() {
  const std::string path = link_socket_path(options_.global.runtime_dir, tree_.name);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::limit,
                "the socket path " + escape(path) + " is too long: choose another --runtime-dir");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  link_socket_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!link_socket_.valid()) return fail_errno("make a socket");
  ::unlink(path.c_str());
  // Linux gives the socket file the mode of the unbound socket (unix_bind), less the umask, which
  // belongs to all threads.
  if (::fchmod(link_socket_.get(), 0600) != 0 ||
      ::bind(link_socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
          0) {
    return fail_errno("bind " + escape(path));
  }
  if (::listen(link_socket_.get(), 8) != 0) return fail_errno("listen on " + escape(path));
  stop_event_ = Fd(::eventfd(0, EFD_CLOEXEC));
  threads_.emplace_back([this] { accept_links(); });
  return {};
}

// Who comes over the link socket is known by its hello only, when the session stands: the narrowest
// limit of those that may come.
uint64_t Peering::link_bandwidth() const {
  uint64_t narrowest = 0;
  for (const std::string& node : tree_.nodes) {
    if (node == options_.node || dials(tree_, options_.node, node) ||
        transport_between(tree_, options_.node, node) != Transport::ssh) {
      continue;
    }
    const uint64_t limit = tree_.peers.at(node).bandwidth_bytes_per_second;
    if (limit != 0 && (narrowest == 0 || limit < narrowest)) narrowest = limit;
  }
  return narrowest;
}

// The socket is ours alone (0600): who connects has logged in as this user, and names its node in
// its hello.
void Peering::accept_links() {
  for (;;) {
    pollfd fds[2] = {{.fd = link_socket_.get(), .events = POLLIN, .revents = 0},
                     {.fd = stop_event_.get(), .events = POLLIN, .revents = 0}};
    if (::poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents != 0) return;
    Fd in(::accept4(link_socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    Fd out(in.valid() ? ::fcntl(in.get(), F_DUPFD_CLOEXEC, 0) : -1);
    if (!out.valid()) {
      // Out of descriptors the socket stays readable: without a pause this thread would spin.
      if (!pause(accept_pause)) return;
      continue;
    }
    transport::SessionOptions options = session_options("");
    options.bandwidth_bytes_per_s = link_bandwidth();
    auto channel = transport::make_stdio_channel(io_, std::move(in), std::move(out), options);
    if (channel) host_.attach(std::make_shared<ChannelLink>(std::move(*channel)));
  }
}

Result<std::shared_ptr<transport::Channel>> Peering::dial_tls(const std::string& node,
                                                              const std::string& fingerprint) {
  using Answer = Result<std::shared_ptr<transport::Channel>>;
  auto promise = std::make_shared<std::promise<Answer>>();
  std::future<Answer> future = promise->get_future();
  transport::DialTarget target{.host = options_.config.nodes.at(node).address,
                               .port = tree_.port,
                               .fingerprint = fingerprint};
  auto dial =
      transport::Dial::start(io_, *identity_, std::move(target), session_options(node),
                             [promise](Answer answer) { promise->set_value(std::move(answer)); });
  if (!dial) return fail(dial.error());
  while (future.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
    const std::lock_guard lock(mutex_);
    if (stop_) return fail(ErrorCode::closed, "stopping");
  }
  return future.get();
}

Result<std::shared_ptr<transport::Channel>> Peering::dial(const std::string& node) {
  const NodeConfig& config = options_.config.nodes.at(node);
  if (transport_between(tree_, options_.node, node) == Transport::ssh) {
    ServeRequest request;
    request.tree = tree_.name;
    Result<std::string> session = encode_serve_request(request);
    if (!session) return fail(session.error());
    transport::SshTarget target{.user = config.ssh.user,
                                .host = config.address,
                                .port = config.ssh.port,
                                .identity_file = config.ssh.identity,
                                .ssh_args = {},
                                .remote_repl = config.ssh.repl,
                                .serve_args = {"--session", *session}};
    for (const std::string& option : config.ssh.options) {
      target.ssh_args.emplace_back("-o");
      target.ssh_args.push_back(option);
    }
    return transport::make_ssh_channel(io_, target, session_options(node));
  }
  // Several pins while a key is being replaced.
  Error last =
      make_error(ErrorCode::untrusted, "node " + node + " has no fingerprint in the config file");
  for (const std::string& fingerprint : config.fingerprints) {
    auto channel = dial_tls(node, fingerprint);
    if (channel || channel.error().code != ErrorCode::untrusted) return channel;
    last = channel.error();
  }
  return fail(last);
}

bool Peering::pause(Duration time) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, time, [this] { return stop_; });
}

void Peering::dial_for_ever(const std::string& node) {
  transport::Backoff backoff(std::random_device{}());
  std::string told;
  int again = 0;
  std::optional<Duration> soon;
  bool reached = false;
  do {
    soon.reset();
    auto channel = dial(node);
    reached = channel.has_value();
    if (!channel) {
      if (channel.error().code == ErrorCode::closed && !pause(Duration::zero())) return;
      host_.set_peer_error(node, channel.error().message);
      if (told != channel.error().message)
        log_.warn("{}: {}: {}", tree_.name, node, channel.error().message);
      told = channel.error().message;
      continue;
    }
    const std::shared_ptr<transport::Channel> kept = *channel;
    auto link = std::make_shared<ChannelLink>(std::move(*channel));
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return;
      dialled_[node] = link;
    }
    const MonotonicTime attached = clock_.now();
    host_.attach(link);
    link->wait_closed();
    // A connection that ends again and again at once (a full disk there) is not hammered.
    const Duration lasted = clock_.now() - attached;
    if (lasted > useful_connection) {
      backoff.reset();
      told.clear();
    }
    if (kept->open()) continue;
    const std::string why = kept->close_reason().message;
    host_.set_peer_error(node, why);
    if (!why.ends_with(run::hello_again)) continue;
    again = lasted > hello_again_useful ? 0 : std::min(again + 1, hello_again_doublings_max);
    backoff.reset();
    soon = hello_again_pause * (1 << again);
  } while (pause(
      soon ? *soon
           : backoff.next(reached ? limits::backoff_reached_ms_max : limits::backoff_ms_max)));
}

}  // namespace repl::cli
