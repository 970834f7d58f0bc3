// event_loop.h: what the engine waits on: the watch, a wake-up from other threads, and a time.
//
// Thread: wake() from any; wait() from the owner. Source: ppoll(2), eventfd(2).
#pragma once

#include <optional>

#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/fd.h"

namespace repl::run {

class EventLoop {
 public:
  [[nodiscard]] static Result<EventLoop> make();

  void wake() const;
  struct Woken {
    bool by_watch = false;
    bool by_wake = false;
  };
  // `watch_fd` -1: not waited on. Without a deadline it waits until something happens.
  [[nodiscard]] Woken wait(int watch_fd, std::optional<Duration> timeout) const;

 private:
  Fd event_;
};

}  // namespace repl::run
