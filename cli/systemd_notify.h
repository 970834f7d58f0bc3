// systemd_notify.h: sd_notify(3) in one datagram: READY=1, WATCHDOG=1, STATUS=..., STOPPING=1,
// RELOADING=1.
//
// Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/base/clock.h"
#include "engine/base/error.h"

namespace repl::cli {

class SystemdNotifier {
 public:
  // From $NOTIFY_SOCKET and $WATCHDOG_USEC; both are taken out of the environment, children must
  // not notify.
  static SystemdNotifier from_environment();
  SystemdNotifier() = default;  // tells nobody

  // `state` as in sd_notify(3), lines separated by newlines. No socket: success. Never blocks.
  [[nodiscard]] Status notify(std::string_view state) const;
  // How often WATCHDOG=1 is to be sent: half of what the unit allows. Nothing: no watchdog.
  [[nodiscard]] std::optional<Duration> watchdog_interval() const { return interval_; }
  [[nodiscard]] bool active() const { return !socket_.empty(); }

 private:
  std::string socket_;
  std::optional<Duration> interval_;
};

}  // namespace repl::cli
