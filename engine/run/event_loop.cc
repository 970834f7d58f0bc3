#include "engine/run/event_loop.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstdint>

namespace repl::run {

Result<EventLoop> EventLoop::make() {
  EventLoop loop;
  loop.event_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!loop.event_.valid()) return fail_errno("eventfd");
  return loop;
}

void EventLoop::wake() const {
  const uint64_t one = 1;
  // A full counter means that a wake-up is pending already.
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
}

EventLoop::Woken EventLoop::wait(int watch_fd, std::optional<Duration> timeout) const {
  pollfd fds[2] = {{.fd = event_.get(), .events = POLLIN, .revents = 0},
                   {.fd = watch_fd, .events = POLLIN, .revents = 0}};
  timespec until{};
  if (timeout) {
    const int64_t ns = std::max<int64_t>(0, timeout->count());
    until = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
  }
  Woken woken;
  if (::ppoll(fds, 2, timeout ? &until : nullptr, nullptr) <= 0) return woken;
  if (fds[0].revents != 0) {
    uint64_t count = 0;
    woken.by_wake = ::read(event_.get(), &count, sizeof count) == sizeof count;
  }
  woken.by_watch = fds[1].revents != 0;
  return woken;
}

}  // namespace repl::run
