#include "cli/systemd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "engine/base/fd.h"

namespace repl::cli {

SystemdNotifier SystemdNotifier::from_environment() {
  SystemdNotifier notifier;
  if (const char* socket = std::getenv("NOTIFY_SOCKET")) notifier.socket_ = socket;
  const char* micros = std::getenv("WATCHDOG_USEC");
  const char* pid = std::getenv("WATCHDOG_PID");
  // sd_watchdog_enabled(3): another process's watchdog is not ours.
  if (micros != nullptr &&
      (pid == nullptr || std::strtoll(pid, nullptr, 10) == static_cast<long long>(::getpid()))) {
    const long long value = std::strtoll(micros, nullptr, 10);
    if (value > 1) notifier.interval_ = std::chrono::microseconds(value / 2);
  }
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
  return notifier;
}

Status SystemdNotifier::notify(std::string_view state) const {
  if (socket_.empty()) return {};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if ((socket_[0] != '/' && socket_[0] != '@') || socket_.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid, "NOTIFY_SOCKET is no Unix socket's address");
  }
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_[0] == '@') address.sun_path[0] = '\0';  // abstract
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno("create a socket for systemd");
  if (::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&address), size) < 0) {
    return fail_errno("notify systemd");
  }
  return {};
}

}  // namespace repl::cli
