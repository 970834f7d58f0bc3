// io_thread.h: the thread on which connections live. One serves any number of channels, listeners
// and dials.
//
// The thread blocks all signals: SIGPIPE becomes an error value, and signals reach the daemon's own
// thread.
//
// Lifetime: destruction ends everything that still lives on the thread (channels close with a
// reason) and joins. Channels may outlive it; they are closed then. Clock and Log given to its
// users must outlive it.
//
// Thread: construction and destruction from the owner, never on the thread itself.
#pragma once

#include <memory>
#include <thread>

namespace repl::transport {

class IoCore;

class IoThread {
 public:
  IoThread();
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  [[nodiscard]] const std::shared_ptr<IoCore>& core() const { return core_; }

 private:
  std::shared_ptr<IoCore> core_;
  std::thread thread_;
};

}  // namespace repl::transport
