#include "engine/run/sync_thread.h"

#include <utility>

#include "engine/base/check.h"

namespace repl::run {

SyncThread::SyncThread(std::function<void()> done, Where where) : done_(std::move(done)) {
  if (where == Where::thread) thread_ = std::thread([this] { loop(); });
}

SyncThread::~SyncThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool SyncThread::busy() const {
  const std::lock_guard lock(mutex_);
  return running_ || job_ || result_;
}

void SyncThread::post(std::function<Status()> job) {
  {
    const std::lock_guard lock(mutex_);
    REPL_CHECK(!job_ && !running_ && !result_);
    job_ = std::move(job);
  }
  changed_.notify_all();
  if (!thread_.joinable()) done_();  // asked for its result, the owner runs it
}

void SyncThread::run_here() {
  if (const std::function<Status()> job = std::exchange(job_, nullptr)) result_ = job();
}

std::optional<Status> SyncThread::take_result() {
  if (!thread_.joinable()) run_here();
  const std::lock_guard lock(mutex_);
  return std::exchange(result_, std::nullopt);
}

void SyncThread::wait() {
  if (!thread_.joinable()) return run_here();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !running_ && !job_; });
}

void SyncThread::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return job_ || stop_; });
    if (!job_) return;
    const std::function<Status()> job = std::exchange(job_, nullptr);
    running_ = true;
    lock.unlock();
    Status status = job();
    lock.lock();
    running_ = false;
    result_ = std::move(status);
    changed_.notify_all();
    lock.unlock();
    done_();
    lock.lock();
  }
}

}  // namespace repl::run
