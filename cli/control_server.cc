#include "cli/control_server.h"

#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "cli/exit_codes.h"
#include "engine/base/escape.h"
#include "engine/base/fd.h"
#include "engine/base/limits.h"

namespace repl::cli {

using Time = std::chrono::steady_clock::time_point;

// What a Reply writes into and the server's thread empties. Outlives both.
struct Reply::Sink {
  std::mutex mutex;
  std::string out;           // complete lines, not yet written
  bool final = false;        // the last line is in `out`
  bool gone = false;         // nobody reads any more
  std::shared_ptr<Fd> wake;  // eventfd of the server

  void put(const ReplyLine& line, bool last) {
    const std::string text = encode(line) + "\n";
    const std::lock_guard lock(mutex);
    if (gone || final) return;
    // A client that does not read: it is dropped by the server's thread, which sees the size.
    if (out.size() <= limits::control_reply_bytes_max) out += text;
    final = last;
    const uint64_t one = 1;
    // The counter of an eventfd cannot be full here; the server reads it at each turn.
    [[maybe_unused]] const ssize_t n = ::write(wake->get(), &one, sizeof one);
  }
};

void Reply::progress(std::string json) { sink_->put(ReplyProgress{std::move(json)}, false); }
void Reply::done(std::string json) { sink_->put(ReplyDone{std::move(json)}, true); }
void Reply::failed(std::string error, int exit) {
  sink_->put(ReplyFailed{std::move(error), exit}, true);
}
bool Reply::abandoned() const {
  const std::lock_guard lock(sink_->mutex);
  return sink_->gone;
}

namespace {

struct Client {
  Fd fd;
  ucred who{};
  Time request_due;
  std::string in;
  bool asked = false;  // the request was taken
  std::shared_ptr<Reply::Sink> sink;
  bool dead = false;
};

// By the groups of the process itself: SO_PEERCRED knows only the primary one, the socket's mode
// has let in whoever connects (root, owner or group), so a foreign uid here came by the group.
bool may_change(const ucred& who) { return who.uid == 0 || who.uid == ::geteuid(); }

Result<Fd> listen_at(const ControlServer::Options& options, Log& log) {
  const std::string& path = options.socket_path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid,
                fmt::format("control socket {}: longer than a socket's path may "
                            "be ({} bytes); choose a shorter --runtime-dir",
                            escape(path), sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail_errno("create the control socket");
  // Only a socket that nobody listens on is removed; anything else in its place is not ours.
  struct stat there{};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) {
      return fail(
          ErrorCode::invalid,
          fmt::format("control socket {}: something else is there; remove it", escape(path)));
    }
    const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe.valid()) return fail_errno("make a socket");
    if (::connect(probe.get(), generic, sizeof address) == 0 || errno != ECONNREFUSED) {
      return fail(ErrorCode::invalid,
                  fmt::format("control socket {}: another daemon runs this tree", escape(path)));
    }
    ::unlink(path.c_str());
  }
  // Linux gives the socket file the mode of the unbound socket (unix_bind), less the umask: nobody
  // but the owner can connect before the group is set.
  if (::fchmod(fd.get(), 0600) != 0 || ::bind(fd.get(), generic, sizeof address) != 0) {
    return fail_errno("bind the control socket " + escape(path));
  }
  if (!options.group.empty()) {
    if (const group* entry = ::getgrnam(options.group.c_str())) {
      if (::chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) == 0) {
        ::chmod(path.c_str(), 0660);
      } else {
        log.warn(
            "control socket {}: group {} cannot be set ({}); only root and the daemon's user "
            "may ask",
            escape(path), options.group, std::strerror(errno));
      }
    }
  }
  if (::listen(fd.get(), 16) != 0) return fail_errno("listen on the control socket");
  return fd;
}

}  // namespace

struct ControlServer::Loop {
  Loop(Fd listener, std::string path, ControlHandler handler, Log& log)
      : listener_(std::move(listener)),
        wake_(std::make_shared<Fd>(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))),
        path_(std::move(path)),
        handler_(std::move(handler)),
        log_(log) {
    struct stat own{};
    if (::lstat(path_.c_str(), &own) == 0) inode_ = own.st_ino;
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  ~Loop() {
    thread_.request_stop();
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake_->get(), &one, sizeof one);
    thread_.join();
    // What was answered while the daemon ends is still said.
    for (Client& client : clients_) {
      if (!client.dead) write_to(client);
      drop(client);
    }
    struct stat there{};
    if (::lstat(path_.c_str(), &there) == 0 && there.st_ino == inode_) ::unlink(path_.c_str());
  }

 private:
  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      poll_once();
      for (Client& client : clients_) serve(client);
      std::erase_if(clients_, [](const Client& client) { return client.dead; });
    }
  }

  void poll_once() {
    std::vector<pollfd> entries = {{listener_.get(), POLLIN, 0}, {wake_->get(), POLLIN, 0}};
    std::optional<Time> due = accept_again_;
    for (const Client& client : clients_) {
      short events = POLLIN;  // also sees that it hung up
      if (client.sink) {
        const std::lock_guard lock(client.sink->mutex);
        if (!client.sink->out.empty()) events |= POLLOUT;
      }
      entries.push_back({client.fd.get(), events, 0});
      if (!client.asked) due = due ? std::min(*due, client.request_due) : client.request_due;
    }
    if (accept_again_) entries[0].fd = -1;
    int wait_ms = -1;
    if (due) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(*due - std::chrono::steady_clock::now());
      wait_ms = static_cast<int>(std::max<int64_t>(0, left.count()));
    }
    if (::poll(entries.data(), entries.size(), wait_ms) < 0) return;
    if (accept_again_ && std::chrono::steady_clock::now() >= *accept_again_) accept_again_.reset();
    uint64_t count = 0;
    if ((entries[1].revents & POLLIN) != 0) {
      [[maybe_unused]] const ssize_t n = ::read(wake_->get(), &count, sizeof count);
    }
    // Before accept: `entries` goes with the clients by position.
    for (size_t i = 0; i < clients_.size(); ++i) {
      if ((entries[i + 2].revents & (POLLIN | POLLHUP | POLLERR)) != 0) read_from(clients_[i]);
    }
    if ((entries[0].revents & POLLIN) != 0) accept_one();
  }

  void accept_one() {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) {
      // Out of descriptors the listener stays readable: without a pause this thread would spin.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        accept_again_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
      }
      return;
    }
    Client client;
    socklen_t size = sizeof client.who;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &client.who, &size) != 0) return;
    client.fd = std::move(fd);
    client.request_due = std::chrono::steady_clock::now() +
                         std::chrono::milliseconds(limits::control_request_ms_max);
    client.sink = std::make_shared<Reply::Sink>();
    client.sink->wake = wake_;
    if (clients_.size() >= limits::control_clients_max) {
      refuse(client, "the daemon serves too many commands at once; try again", exit_failed);
      write_to(client);
      return;
    }
    clients_.push_back(std::move(client));
  }

  void refuse(Client& client, std::string why, int exit) {
    client.asked = true;
    client.in.clear();
    Reply(client.sink).failed(std::move(why), exit);
  }

  void read_from(Client& client) {
    char chunk[4096];
    const ssize_t n = ::recv(client.fd.get(), chunk, sizeof chunk, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
      // It hung up (or shut down its writing side, which counts the same): nobody reads what is
      // still to come.
      client.dead = true;
      return;
    }
    // One request per connection; what comes after it is nobody's.
    if (n < 0 || client.asked) return;
    client.in.append(chunk, static_cast<size_t>(n));
    const size_t end = client.in.find('\n');
    if (end != std::string::npos && end <= limits::control_request_bytes_max) {
      const std::string line = client.in.substr(0, end);
      client.in.clear();
      client.asked = true;
      take(client, line);
    } else if (client.in.size() > limits::control_request_bytes_max) {
      refuse(client, fmt::format("request longer than {} bytes", limits::control_request_bytes_max),
             exit_usage);
    }
  }

  void take(Client& client, const std::string& line) {
    Result<Request> request = decode_request(line);
    if (!request) return refuse(client, request.error().message, exit_usage);
    if (!may_change(client.who) && !is_read_only(*request)) {
      log_.warn("control: uid {} may not \"{}\"", client.who.uid, escape(request->command));
      return refuse(client,
                    fmt::format("only root may \"{}\"; run it with sudo", escape(request->command)),
                    exit_refused);
    }
    handler_(std::move(*request), Reply(client.sink));
  }

  void serve(Client& client) {
    if (client.dead) return drop(client);
    if (!client.asked && std::chrono::steady_clock::now() >= client.request_due) {
      refuse(client, "no whole request came in time", exit_usage);
    }
    write_to(client);
    if (client.dead) drop(client);
  }

  void write_to(Client& client) {
    const std::lock_guard lock(client.sink->mutex);
    std::string& out = client.sink->out;
    const bool too_much = out.size() > limits::control_reply_bytes_max;
    while (!out.empty()) {
      const ssize_t n = ::send(client.fd.get(), out.data(), out.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) break;
      if (n < 0) {
        client.dead = true;
        return;
      }
      out.erase(0, static_cast<size_t>(n));
    }
    if ((out.empty() && client.sink->final) || (too_much && !out.empty())) client.dead = true;
  }

  static void drop(Client& client) {
    client.dead = true;
    const std::lock_guard lock(client.sink->mutex);
    client.sink->gone = true;
    client.sink->out.clear();
  }

  Fd listener_;
  std::shared_ptr<Fd> wake_;
  std::string path_;
  ino_t inode_ = 0;
  ControlHandler handler_;
  Log& log_;
  std::vector<Client> clients_;
  std::optional<Time> accept_again_;
  std::jthread thread_;
};

ControlServer::ControlServer(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
ControlServer::~ControlServer() = default;

Result<std::unique_ptr<ControlServer>> ControlServer::start(const Options& options,
                                                            ControlHandler handler, Log& log) {
  Result<Fd> listener = listen_at(options, log);
  if (!listener) return fail(listener.error());
  auto loop =
      std::make_unique<Loop>(std::move(*listener), options.socket_path, std::move(handler), log);
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(loop)));
}

}  // namespace repl::cli
