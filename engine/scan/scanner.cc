#include "engine/scan/scanner.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "engine/scan/read_listing.h"

namespace repl::scan {

struct Scanner::Impl {
  BeforeListing before_listing;
  std::function<void()> wake_owner;

  std::mutex mutex;
  std::condition_variable work;  // there are jobs, or stopping
  std::condition_variable room;  // ready is below its bound, or stopping
  // Last in, first out: siblings wait while a subtree is finished, so that the parents that are
  // held open for jobs are about as many as the tree is deep, not as it is wide.
  std::vector<Job> jobs;
  std::vector<Listing> ready;
  size_t running = 0;
  bool stopping = false;

  std::vector<std::thread> threads;

  void worker();
  void read_one();
  void deliver(Listing listing, std::unique_lock<std::mutex>& lock);
};

void Scanner::Impl::worker() {
  std::unique_lock lock(mutex);
  for (;;) {
    work.wait(lock, [&] { return stopping || !jobs.empty(); });
    if (stopping) return;
    Job job = std::move(jobs.back());
    jobs.pop_back();
    ++running;
    lock.unlock();
    Listing listing = read_listing(job, before_listing);
    job = Job{};  // the parent may be closed now
    lock.lock();
    deliver(std::move(listing), lock);
  }
}

void Scanner::Impl::read_one() {
  if (jobs.empty()) return;
  const Job job = std::move(jobs.back());
  jobs.pop_back();
  ready.push_back(read_listing(job, before_listing));
  wake_owner();
}

void Scanner::Impl::deliver(Listing listing, std::unique_lock<std::mutex>& lock) {
  room.wait(lock, [&] { return stopping || ready.size() < listings_waiting_max; });
  if (stopping) return;
  const bool owner_sleeps = ready.empty();
  ready.push_back(std::move(listing));
  --running;  // under the same lock: who takes the last listing must find the scanner idle
  if (!owner_sleeps) return;
  lock.unlock();
  wake_owner();
  lock.lock();
}

Scanner::Scanner(size_t workers, BeforeListing before_listing, std::function<void()> wake_owner)
    : impl_(std::make_unique<Impl>()) {
  impl_->before_listing = std::move(before_listing);
  impl_->wake_owner = std::move(wake_owner);
  impl_->threads.reserve(workers);
  for (size_t i = 0; i < workers; ++i) {
    impl_->threads.emplace_back([impl = impl_.get()] { impl->worker(); });
  }
}

Scanner::~Scanner() {
  {
    const std::scoped_lock lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->work.notify_all();
  impl_->room.notify_all();
  for (std::thread& thread : impl_->threads) thread.join();
}

void Scanner::post(Job job) {
  {
    const std::scoped_lock lock(impl_->mutex);
    impl_->jobs.push_back(std::move(job));
  }
  impl_->work.notify_one();
  if (impl_->threads.empty()) impl_->wake_owner();
}

std::vector<Listing> Scanner::take() {
  if (impl_->threads.empty()) impl_->read_one();
  std::vector<Listing> taken;
  {
    const std::scoped_lock lock(impl_->mutex);
    taken.swap(impl_->ready);
  }
  if (!taken.empty()) impl_->room.notify_all();
  return taken;
}

bool Scanner::idle() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->jobs.empty() && impl_->ready.empty() && impl_->running == 0;
}

void Scanner::cancel() {
  std::vector<Job> dropped;  // closes directories outside the lock
  const std::scoped_lock lock(impl_->mutex);
  dropped.swap(impl_->jobs);
}

}  // namespace repl::scan
