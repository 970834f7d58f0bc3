// sync_thread.h: the one thread that waits for disks: fsync, syncfs and index commits. Jobs run in
// order.
//
// Thread: post() from the owner; `done` is called on the sync thread and must only wake the owner.
// With Where::owner there is no such thread: a job runs when its result is asked for or waited for,
// and one that neither happened to is dropped.
// Bounds: the owner posts one job at a time and takes its result before the next.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/base/error.h"

namespace repl::run {

class SyncThread {
 public:
  enum class Where : uint8_t { thread, owner };
  explicit SyncThread(std::function<void()> done, Where where = Where::thread);
  ~SyncThread();  // finishes the job under way
  SyncThread(const SyncThread&) = delete;
  SyncThread& operator=(const SyncThread&) = delete;

  [[nodiscard]] bool busy() const;
  void post(std::function<Status()> job);
  // The result of the last job, once.
  [[nodiscard]] std::optional<Status> take_result();
  // Waits for the job under way.
  void wait();

 private:
  void loop();
  void run_here();
  std::function<void()> done_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::function<Status()> job_;
  std::optional<Status> result_;
  bool running_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace repl::run
