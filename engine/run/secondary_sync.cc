// secondary_sync.cc: how what a Secondary published becomes durable: on the sync thread in the
// ordinary way, on the engine's where something waits for it, and at the end.
#include <utility>

#include "engine/run/secondary.h"

namespace repl::run {

namespace {

constexpr Duration sync_retry_delay = std::chrono::seconds(2);

}  // namespace

void Secondary::take_synced(MonotonicTime now) {
  const std::optional<Status> result = syncing_ ? sync_.take_result() : std::nullopt;
  if (!result) return;
  apply::SyncWork work = std::move(*syncing_);
  syncing_.reset();
  if (*result) {
    sync_error_.clear();
    parts_.committed(frozen_);
    if (primary_ != nullptr && work.position.cut.is_set()) primary_->well = true;
  } else {
    sync_error_ = result->error().message;
    sync_retry_ = now + sync_retry_delay;
    parts_.log.error("{}: {}", parts_.options.name, sync_error_);
  }
  if (receiver_) {
    receiver_->on_synced(std::move(work), *result);
  } else {
    applier_->on_synced(std::move(work), *result);
  }
}

void Secondary::step_sync(MonotonicTime now) {
  take_synced(now);
  if (applier_->fault() || syncing_ || (sync_retry_ && now < *sync_retry_)) return;
  sync_retry_.reset();
  if (!sync_.busy()) {
    if (applier_->work_pending()) parts_.record_stamp();
    if (std::optional<apply::SyncWork> work = applier_->take_sync_work()) {
      syncing_.emplace(std::move(*work));
      frozen_ = parts_.stamp.recorded();
      sync_.post([this] { return apply::SyncWork::run(*syncing_, *parts_.index); });
      return;
    }
  }
  // What is published and not synced yet is committed by the sync that belongs to it.
  committer_.step(now, !applier_->work_pending());
}

Status Secondary::health() const {
  return applier_->fault() ? Status(fail(*applier_->fault())) : Status();
}

std::optional<MonotonicTime> Secondary::deadline() const {
  std::optional<MonotonicTime> first = committer_.deadline();
  if (sync_retry_ && (!first || *sync_retry_ < *first)) first = sync_retry_;
  return first;
}

void Secondary::store_position(const Position& position) {
  parts_.state.position = position;
  parts_.state.lineage = lineage_;
  parts_.state.epoch_seen = std::max(parts_.state.epoch_seen, position.epoch);
  parts_.store_state();
}

// What is published is synced and committed, on this thread.
void Secondary::finish_sync() {
  sync_.wait();
  take_synced(parts_.clock.now());
  while (!applier_->fault()) {
    if (applier_->work_pending()) parts_.record_stamp();
    std::optional<apply::SyncWork> work = applier_->take_sync_work();
    if (!work) return;
    frozen_ = parts_.stamp.recorded();
    const Status done = apply::SyncWork::run(*work, *parts_.index);
    if (done) parts_.committed(frozen_);
    if (receiver_) {
      receiver_->on_synced(std::move(*work), done);
    } else {
      applier_->on_synced(std::move(*work), done);
    }
    if (!done) return;
  }
}

Status Secondary::flush() {
  finish_sync();
  if (applier_->fault()) return fail(*applier_->fault());
  if (applier_->work_pending() || syncing_)
    return fail(ErrorCode::io, "what was received cannot be made durable now: " + sync_error_);
  return committer_.flush();
}

void Secondary::stop() {
  if (primary_ != nullptr) on_closed(*primary_);
  finish_sync();
  if (applier_->fault()) {
    // What is staged may not be on the disk either, and would be taken for what was received.
    if (Status s = parts_.staging->drop_stages(); !s)
      parts_.log.error("{}: {}", parts_.options.name, s.error().message);
    return;
  }
  if (!applier_->work_pending()) committer_.stop();
}

}  // namespace repl::run
