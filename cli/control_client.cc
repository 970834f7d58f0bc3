#include "cli/control_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "engine/base/escape.h"
#include "engine/base/fd.h"
#include "engine/base/limits.h"

namespace repl::cli {
namespace {

Result<Fd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid,
                fmt::format("{}: longer than a socket's path may be ({} bytes); "
                            "choose a shorter --runtime-dir",
                            escape(path), sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno("create a socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return fd;
  }
  const int why = errno;
  if (why == ENOENT || why == ECONNREFUSED) {
    return fail(ErrorCode::not_found, fmt::format("no repl daemon answers at {}; start it with "
                                                  "`systemctl start repl@TREE` or `repl run TREE`",
                                                  escape(path)));
  }
  return fail(sys_error("connect to the daemon at " + escape(path), why));
}

class Conversation {
 public:
  Conversation(Fd fd, std::optional<Duration> limit) : fd_(std::move(fd)) {
    if (limit) end_ = std::chrono::steady_clock::now() + *limit;
  }

  Status send(std::string line) {
    line += '\n';
    for (size_t sent = 0; sent < line.size();) {
      const ssize_t n =
          ::send(fd_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) {
        sent += static_cast<size_t>(n);
      } else if (errno == EAGAIN) {
        if (Status ready = wait_for(POLLOUT); !ready) return ready;
      } else if (errno == EPIPE || errno == ECONNRESET) {
        return {};  // It said why before it closed: the reply is there to be read.
      } else if (errno != EINTR) {
        return fail_errno("send to the daemon");
      }
    }
    return {};
  }

  Result<std::string> line() {
    while (true) {
      const size_t end = buffer_.find('\n', searched_);
      if (end != std::string::npos) {
        std::string out = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        searched_ = 0;
        return out;
      }
      searched_ = buffer_.size();
      if (buffer_.size() > limits::control_reply_bytes_max) {
        return fail(ErrorCode::limit, "the daemon's reply is too long");
      }
      if (Status ready = wait_for(POLLIN); !ready) return fail(ready.error());
      char chunk[16384];
      const ssize_t n = ::recv(fd_.get(), chunk, sizeof chunk, MSG_DONTWAIT);
      if (n > 0) {
        buffer_.append(chunk, static_cast<size_t>(n));
      } else if (n == 0 || errno == ECONNRESET) {
        return fail(ErrorCode::closed, "the daemon went away before it had answered");
      } else if (errno != EAGAIN && errno != EINTR) {
        return fail_errno("read from the daemon");
      }
    }
  }

 private:
  Status wait_for(short events) {
    while (true) {
      int wait_ms = -1;
      if (end_) {
        const auto left = *end_ - std::chrono::steady_clock::now();
        if (left <= Duration::zero()) {
          return fail(ErrorCode::timeout, "the time limit passed before the daemon had answered");
        }
        wait_ms = static_cast<int>(std::min<int64_t>(
            std::chrono::ceil<std::chrono::milliseconds>(left).count(), 1'000'000));
      }
      pollfd entry{fd_.get(), events, 0};
      const int ready = ::poll(&entry, 1, wait_ms);
      if (ready > 0) return {};
      if (ready < 0 && errno != EINTR) return fail_errno("wait for the daemon");
    }
  }

  Fd fd_;
  std::optional<std::chrono::steady_clock::time_point> end_;
  std::string buffer_;
  size_t searched_ = 0;
};

}  // namespace

std::string control_socket_path(const std::string& runtime_dir, const std::string& tree) {
  return runtime_dir + "/" + tree + ".sock";
}

bool daemon_listens(const std::string& socket_path) {
  const Result<Fd> fd = connect_to(socket_path);
  return fd || fd.error().code != ErrorCode::not_found;
}

Result<ReplyLine> ask(const std::string& socket_path, const Request& request,
                      std::optional<Duration> limit,
                      const std::function<void(const std::string& json)>& on_progress) {
  Result<Fd> fd = connect_to(socket_path);
  if (!fd) return fail(fd.error());
  Conversation daemon(std::move(*fd), limit);
  if (Status sent = daemon.send(encode(request)); !sent) return fail(sent.error());
  while (true) {
    const Result<std::string> line = daemon.line();
    if (!line) return fail(line.error());
    Result<ReplyLine> reply = decode_reply(*line);
    if (!reply) return reply;
    const auto* progress = std::get_if<ReplyProgress>(&*reply);
    if (!progress) return reply;
    if (on_progress) on_progress(progress->json);
  }
}

}  // namespace repl::cli
