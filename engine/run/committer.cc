#include "engine/run/committer.h"

#include <utility>

#include "engine/base/limits.h"

namespace repl::run {

namespace {

constexpr Duration commit_delay = std::chrono::milliseconds(20);
constexpr Duration retry_delay = std::chrono::seconds(2);

}  // namespace

Committer::Committer(TreeParts& parts, SyncThread& sync, std::function<void()> before_freeze)
    : parts_(parts), sync_(sync), before_freeze_(std::move(before_freeze)) {}

void Committer::take_result() {
  if (!batch_) return;
  const std::optional<Status> result = sync_.take_result();
  if (!result) return;
  if (*result) {
    parts_.index->committed(std::exchange(batch_, nullptr));
    parts_.committed(frozen_);
    error_.clear();
    return;
  }
  if (error_.empty()) parts_.log.error("{}: {}", parts_.options.name, result->error().message);
  error_ = "the index cannot be written: " + result->error().message;
  due_ = parts_.clock.now() + retry_delay;
}

void Committer::step(MonotonicTime now, bool may_freeze) {
  take_result();
  const size_t pending = parts_.index->pending();
  if (pending == 0) {
    due_.reset();
    return;
  }
  if (!batch_ && !may_freeze) return due_.reset();
  if (!due_) due_ = now + commit_delay;
  // Bounded memory: an overlay that is full waits for the disk.
  if (pending > limits::index_overlay_keys_max && batch_) {
    sync_.wait();
    take_result();
  }
  if (now < *due_ && pending <= limits::index_overlay_keys_max) return;
  if (sync_.busy()) return;
  if (!batch_) {
    if (!may_freeze) return due_.reset();
    before_freeze_();
    parts_.record_stamp();
    batch_ = parts_.index->freeze();
    if (!batch_) return;
    frozen_ = parts_.stamp.recorded();
  }
  due_.reset();
  sync_.post([index = parts_.index.get(), batch = batch_] { return index->commit(batch); });
}

std::optional<MonotonicTime> Committer::deadline() const {
  return sync_.busy() ? std::nullopt : due_;
}

Status Committer::flush() {
  sync_.wait();
  take_result();
  before_freeze_();
  const Status done = parts_.flush();
  // What failed before went with it; what failed now is tried again.
  batch_ = done ? nullptr : parts_.index->in_flight();
  frozen_ = parts_.stamp.recorded();
  if (done) error_.clear();
  return done;
}

// Twice: a stamp that the index held before the last commit is an older tree from now on.
void Committer::stop() {
  for (int times = 0; times < 2; ++times) {
    if (Status s = flush(); !s)
      return parts_.log.error("{}: {}", parts_.options.name, s.error().message);
  }
}

}  // namespace repl::run
