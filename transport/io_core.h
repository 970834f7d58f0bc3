// io_core.h: the event loop behind an IoThread, shared with what lives on it. Internal to
// transport: only .cc files include it (Asio is heavy).
//
// Thread: post() and adopt() from any thread.
#pragma once

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace repl::transport {

// Lives on the loop and keeps it busy until told to stop.
class Abortable {
 public:
  virtual ~Abortable() = default;
  // On the I/O thread: end all asynchronous operations at once. May be called more than once.
  virtual void abort() = 0;
};

class IoCore {
 public:
  // Runs `work` on the I/O thread; drops it once the thread has ended. In order per posting thread
  // only: what the I/O thread itself posts is held back until its present handler ends, so that
  // another thread's later post may run first.
  template <typename Work>
  void post(Work&& work) {
    const std::lock_guard lock(mutex_);
    if (!ended_) asio::post(context_, std::forward<Work>(work));
  }
  // `what` is aborted when the thread ends. Construct on any thread, then adopt before the first
  // operation.
  void adopt(const std::shared_ptr<Abortable>& what) {
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(living_, [](const auto& weak) { return weak.expired(); });
      living_.push_back(what);
      if (!ending_) return;
      if (!ended_) {
        asio::post(context_, [what] { what->abort(); });
        return;
      }
    }
    what->abort();  // the thread is gone, so this one is the only one
  }

  // From the owner of the thread: abort_all() makes run() come to its end; end() drops what is
  // left.
  void abort_all() {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    for (const auto& weak : living_) {
      if (auto what = weak.lock()) asio::post(context_, [what] { what->abort(); });
    }
  }
  void end() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    context_.restart();
    context_.poll();
  }

  [[nodiscard]] asio::io_context& context() { return context_; }

 private:
  asio::io_context context_{1};
  std::mutex mutex_;
  std::vector<std::weak_ptr<Abortable>> living_;
  bool ending_ = false;
  bool ended_ = false;
};

}  // namespace repl::transport
