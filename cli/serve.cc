// `repl serve --stdio`: the far end of an ssh connection. For a configured tree it only carries
// bytes between sshd and the daemon's link socket; for `repl mirror` it is the copy's engine
// itself.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "cli/channel_link.h"
#include "cli/daemon.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "cli/log_sink.h"
#include "cli/mirror_tree.h"
#include "cli/peering.h"
#include "cli/tree_host.h"
#include "transport/session.h"

namespace repl::cli {

namespace {

constexpr size_t relay_bytes = 64 * 1024;

bool write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t done = ::write(fd, data, size);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    data += done;
    size -= static_cast<size_t>(done);
  }
  return true;
}

// Until `from` ends, `to` takes no more, or `stop` is readable.
void copy_bytes(int from, int to, int stop) {
  std::string buffer(relay_bytes, '\0');
  for (;;) {
    pollfd fds[2] = {{.fd = from, .events = POLLIN, .revents = 0},
                     {.fd = stop, .events = POLLIN, .revents = 0}};
    if (::poll(fds, 2, -1) < 0 && errno == EINTR) continue;
    if (fds[1].revents != 0) return;
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || !write_all(to, buffer.data(), static_cast<size_t>(got))) return;
  }
}

// Until either side ends. A thread for each direction: one that is not read must not hold up the
// other, or both ends wait for each other and take each other for dead.
void relay(int in, int out, int socket) {
  const Fd stop(::eventfd(0, EFD_CLOEXEC));
  std::thread to_daemon([&] {
    copy_bytes(in, socket, stop.get());
    ::shutdown(socket, SHUT_WR);  // the daemon ends the connection, and so the other direction
  });
  copy_bytes(socket, out, stop.get());
  ::shutdown(socket, SHUT_RDWR);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(stop.get(), &one, sizeof one);
  to_daemon.join();
}

int serve_tree(const ServeOptions& options) {
  const std::string path = link_socket_path(options.global.runtime_dir, options.request.tree);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return report("the socket path " + path + " is too long", exit_usage);
  std::memcpy(address.sun_path, path.data(), path.size());
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return report(sys_error("make a socket", errno));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EACCES) {
      return report(path + " is not this user's: log in as the user that runs the daemon of tree " +
                        options.request.tree,
                    exit_refused);
    }
    return report("no daemon of tree " + options.request.tree + " answers at " + path +
                      ": start repl@" + options.request.tree + ".service there",
                  exit_not_running);
  }
  relay(STDIN_FILENO, STDOUT_FILENO, socket.get());
  return exit_ok;
}

int serve_copy(const ServeOptions& options, Log& log, const Clock& clock) {
  MirrorTree tree;
  Result<std::string> root = copy_root(options.request.root, options.request.only);
  if (!root) return report(root.error());
  tree.root = std::move(*root);
  tree.create_root = options.request.create_root;
  tree.delete_extra = options.request.delete_extra;
  tree.policy.ids_by_name = options.request.ids_by_name;
  Result<Filter> filter = Filter::make(options.request.rules, options.request.only);
  if (!filter) return report(filter.error());
  tree.policy.filter = std::move(*filter);
  Result<run::TreeOptions> engine_options = mirror_tree_options(
      tree, run::Standing::mirror_copy,
      mirror_state_dir(options.global, copy_key(tree.root, options.request.only), "copy"));
  if (!engine_options) return report(engine_options.error());
  TreeHost host(std::move(*engine_options), clock, log);
  if (Status s = host.start(); !s) return report(s.error());
  transport::IoThread io;
  // The descriptors are taken over: nothing else may print to stdout from here on.
  auto channel = transport::make_stdio_channel(
      io, Fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)),
      Fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)),
      transport::SessionOptions{.peer_name = mirror_source_node, .clock = clock, .log = log});
  if (!channel) return report(channel.error());
  const auto link = std::make_shared<ChannelLink>(std::move(*channel));
  host.attach(link);
  link->wait_closed();
  host.stop();
  return exit_ok;
}

}  // namespace

int serve_stdio(const ServeOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  if (!options.request.tree.empty()) return serve_tree(options);
  const SystemClock clock;
  const std::unique_ptr<Log> log =
      make_log(options.global.log_level.value_or(LogLevel::warn), clock);
  return serve_copy(options, *log, clock);
}

}  // namespace repl::cli
