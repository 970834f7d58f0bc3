// What leaves a session: bursts of frames, as large and as hard to pack as the link wants them.
#include <ctime>
#include <utility>

#include "engine/base/bytes.h"
#include "transport/session_core.h"
#include "transport/wire.pb.h"

namespace repl::transport {

namespace {

Payload control_payload(wire::Kind kind, std::string body) {
  Payload payload;
  payload.kind = static_cast<uint8_t>(kind);
  payload.body = std::move(body);
  return payload;
}

// What this thread has run.
Duration thread_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec);
}

}  // namespace

void SessionCore::request_pump() {
  if (std::exchange(pump_due_, true)) return;
  io_->post([self = shared_from_this()] { self->pump(); });
}

bool SessionCore::owner_waits() {
  bool wake = false;
  for (const Lane lane : {Lane::bulk, Lane::background}) {
    bool& room = wants_room_[static_cast<size_t>(lane)];
    bool& drained = wants_drained_[static_cast<size_t>(lane)];
    const size_t bytes = outbox_.writable(lane);
    if (room && bytes > 0 && (bytes >= limits::message_bytes_target || outbox_.drained(lane))) {
      room = false;
      wake = true;
    }
    if (drained && outbox_.drained(lane)) {
      drained = false;
      wake = true;
    }
  }
  return wake;
}

// False: nothing may leave on bulk and background yet; the timer will pump.
bool SessionCore::pace() {
  const Duration wait = bucket_.wait(options_.clock.now());
  if (wait <= Duration::zero()) return true;
  if (!std::exchange(pacing_, true)) {
    pace_.expires_after(wait);
    pace_.async_wait([self = shared_from_this(), wait](std::error_code error) {
      self->pacing_ = false;
      self->write_.waiting += wait;
      if (!error) self->pump();
    });
  }
  return false;
}

void SessionCore::collect_control(std::vector<Payload>& control) {
  for (const Lane lane : {Lane::bulk, Lane::background}) {
    if (phase_ == Phase::open && inbox_.credit_due(lane)) {
      std::string body;
      ByteWriter out(body);
      out.u64(inbox_.take_credit(lane));
      out.u8(static_cast<uint8_t>(lane));
      control.push_back(control_payload(wire::KIND_CREDIT, std::move(body)));
    }
    if (outbox_.newly_blocked(lane, wants_room_[static_cast<size_t>(lane)])) {
      control.push_back(
          control_payload(wire::KIND_BLOCKED, std::string(1, static_cast<char>(lane))));
    }
  }
  if (std::exchange(ping_due_, false)) control.push_back(control_payload(wire::KIND_PING, {}));
}

void SessionCore::pump() {
  if (writing_) return;  // on_written comes back here
  std::vector<Outbox::Item> burst;
  std::vector<Payload> control;
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    pump_due_ = false;
    if (phase_ == Phase::ended || phase_ == Phase::leaving) return;
    collect_control(control);
    const size_t bytes = bucket_.limited() ? std::min<size_t>(bucket_.burst_bytes(), write_bytes_)
                                           : write_bytes_.load();
    const bool more = outbox_.ready(Lane::bulk) || outbox_.ready(Lane::background);
    outbox_.take(bytes, more && pace(), burst);
    wake = owner_waits();
    if (phase_ == Phase::flushing && burst.empty() && !pacing_) {
      phase_ = Phase::leaving;
      control.push_back(control_payload(wire::KIND_GOODBYE, goodbye_));
    }
    if (burst.empty() && control.empty()) return;
    pump_due_ = true;
  }
  write_burst(burst, control);
  if (wake) call_ready();
}

void SessionCore::write_burst(std::vector<Outbox::Item>& burst, std::vector<Payload>& control) {
  const MonotonicTime began = options_.clock.now();
  for (const Payload& payload : control) writer_.add(payload, static_cast<uint8_t>(Lane::prompt));
  for (const Outbox::Item& item : burst) writer_.add(item.payload, static_cast<uint8_t>(item.lane));
  const std::string_view bytes = writer_.finish();
  spoke_at_ = options_.clock.now();
  if (!burst.empty()) sent_at_ = spoke_at_;
  write_ += {.plain_bytes = writer_.burst().plain_bytes,
             .compressible_bytes = writer_.burst().compressible_bytes,
             .wire_bytes = bytes.size(),
             .packing = spoke_at_ - began};
  bucket_.charge(bytes.size(), spoke_at_);
  {
    const std::lock_guard lock(mutex_);
    counters_.plain_bytes_out += writer_.burst().plain_bytes;
    counters_.wire_bytes_out += bytes.size();
  }
  writing_ = true;
  stream_->write(bytes,
                 [self = shared_from_this()](std::error_code error) { self->on_written(error); });
}

// Sizes follow the rate of the link, compression what is the limit.
void SessionCore::measure() {
  const MonotonicTime now = options_.clock.now();
  LinkWork done = std::exchange(write_, {});
  done.waiting += now - spoke_at_;
  if (!meter_.add(done)) return;
  write_bytes_ = meter_.write_bytes();
  if (std::exchange(unsent_bytes_, meter_.unsent_bytes()) != meter_.unsent_bytes()) {
    stream_->limit_unsent(meter_.unsent_bytes());
  }
  adapt(now);
}

void SessionCore::adapt(MonotonicTime now) {
  const Duration processor = thread_time();
  const LevelControl::Sample sample{
      .work = meter_.last(),
      .elapsed = now - std::exchange(sampled_at_, now),
      .processor = processor - std::exchange(processor_at_sample_, processor)};
  level_.add(sample, now);
  if (options_.compress) writer_.use(level_.compression());
  tell_level();
}

void SessionCore::tell_level() {
  const std::lock_guard lock(mutex_);
  const Compression& compression = writer_.compression();
  counters_.zstd_level = compression.level;
  counters_.zstd_window_bytes = compression.level == 0 ? 0 : uint64_t{1} << compression.window_log;
  counters_.bottleneck = level_.bottleneck();
  bottleneck_at_ = options_.clock.now();
}

void SessionCore::on_written(std::error_code error) {
  writing_ = false;
  if (std::exchange(greeting_sent_, true)) measure();
  bool left = false;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ == Phase::ended) return;
    left = phase_ == Phase::leaving;
  }
  if (error) {
    // The reading side knows more (the peer's Goodbye, why the ssh child ended), so it gets a
    // moment to say it.
    tick_.expires_after(options_.times.close_flush_max);
    tick_.async_wait([self = shared_from_this(), error](std::error_code cancelled) {
      if (cancelled) return;
      self->end(make_error(ErrorCode::closed, "connection lost: " + self->stream_->explain(error),
                           Remedy::reconnect));
    });
    return;
  }
  if (left) {
    stream_->end_writing();
    return;
  }
  pump();
}

}  // namespace repl::transport
