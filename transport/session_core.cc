#include "transport/session_core.h"

#include <cstring>

#include "engine/base/bytes.h"
#include "engine/base/escape.h"
#include "transport/pieces.h"
#include "transport/wire.pb.h"

namespace repl::transport {

namespace {

Payload control_payload(wire::Kind kind, std::string body) {
  Payload payload;
  payload.kind = static_cast<uint8_t>(kind);
  payload.body = std::move(body);
  return payload;
}

std::unexpected<Error> broken(std::string_view what) {
  return fail(ErrorCode::protocol, "broke the protocol: " + std::string(what), Remedy::reconnect);
}

}  // namespace

SessionCore::SessionCore(std::shared_ptr<IoCore> io, std::unique_ptr<ByteStream> stream,
                         const SessionOptions& options)
    : io_(std::move(io)),
      stream_(std::move(stream)),
      options_(options),
      reader_([this](const FrameHeader& header, std::string_view body, std::string_view raw) {
        return on_frame(header, body, raw);
      }),
      writer_(options.zstd_level),
      bucket_(options.bandwidth_bytes_per_s, options.clock.now()),
      tick_(io_->context()),
      pace_(io_->context()),
      heard_at_(options.clock.now()),
      spoke_at_(heard_at_) {}

void SessionCore::start() {
  io_->adopt(shared_from_this());
  io_->post([self = shared_from_this()] {
    {
      const std::lock_guard lock(self->mutex_);
      if (self->phase_ == Phase::ended) return;
      if (self->phase_ == Phase::open) self->watch_peer();  // else close() set the timer already
    }
    self->banner_out_ = make_banner();
    self->stream_->write(self->banner_out_,
                         [self](std::error_code error) { self->on_written(error); });
    self->read_more();
  });
}

// --- the owner's side, any thread
// ----------------------------------------------------------------------------

bool SessionCore::send(Message message, Lane lane) {
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::open) return false;
    if (lane != Lane::prompt && outbox_.writable(lane) == 0) {
      wants_room_[static_cast<size_t>(lane)] = true;
      return false;
    }
  }
  // Not under the lock: it is the expensive part.
  auto frames = encode_pieces(std::move(message), write_bytes_);
  Error problem;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::open) return false;
    if (frames && outbox_.push(*frames, lane)) {
      counters_.messages_out += frames->size();
      request_pump();
      return true;
    }
    if (frames && lane != Lane::prompt) {
      wants_room_[static_cast<size_t>(lane)] = true;
      return false;
    }
    problem =
        frames ? make_error(ErrorCode::limit, "does not take what is sent to it", Remedy::reconnect)
               : std::move(frames.error());
  }
  io_->post([self = shared_from_this(), problem] { self->end(problem); });
  return false;
}

size_t SessionCore::writable(Lane lane) const {
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::open) return 0;
  const size_t bytes = outbox_.writable(lane);
  // The owner goes to sleep on a small answer, so it is woken when there is room for a packed
  // message again, or nothing waits any more.
  if (bytes < limits::message_bytes_target) wants_room_[static_cast<size_t>(lane)] = true;
  return bytes;
}

bool SessionCore::drained(Lane lane) const {
  const std::lock_guard lock(mutex_);
  const bool drained = outbox_.drained(lane);
  if (!drained) wants_drained_[static_cast<size_t>(lane)] = true;
  return drained;
}

std::vector<Message> SessionCore::receive() {
  const std::lock_guard lock(mutex_);
  std::vector<Message> messages = inbox_.take();
  if (phase_ != Phase::open) return messages;
  if (inbox_.credit_due()) request_pump();
  if (read_paused_) {
    read_paused_ = false;
    io_->post([self = shared_from_this()] {
      self->heard_at_ = self->options_.clock.now();  // it was we who did not listen
      self->read_more();
    });
  }
  return messages;
}

bool SessionCore::open() const {
  const std::lock_guard lock(mutex_);
  return phase_ == Phase::open;
}

Error SessionCore::close_reason() const {
  const std::lock_guard lock(mutex_);
  return reason_;
}

ChannelCounters SessionCore::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void SessionCore::on_ready(std::function<void()> ready) {
  {
    const std::lock_guard lock(ready_mutex_);
    ready_ = std::move(ready);
    if (!ready_) return;
  }
  const std::lock_guard lock(mutex_);
  if (inbox_.empty() && phase_ == Phase::open) return;
  io_->post([self = shared_from_this()] { self->call_ready(); });
}

void SessionCore::close(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::open) return;
  phase_ = Phase::flushing;
  goodbye_ = reason.substr(0, reason_bytes_max);
  reason_ = make_error(ErrorCode::closed,
                       "connection to " + options_.peer_name + " closed here: " + reason);
  io_->post([self = shared_from_this()] {
    self->call_ready();
    {
      // What ended in the meantime arms no timer: on a loop that ends too it would never be let go.
      const std::lock_guard held(self->mutex_);
      if (self->phase_ == Phase::ended) return;
    }
    self->tick_.expires_after(self->options_.times.close_flush_max);
    self->tick_.async_wait([self](std::error_code error) {
      if (!error) self->end(make_error(ErrorCode::closed, "did not take the rest in time"));
    });
    self->pump();
  });
}

// --- reading
// -------------------------------------------------------------------------------------------------

void SessionCore::read_more() {
  {
    const std::lock_guard lock(mutex_);
    if (phase_ == Phase::ended) return;
  }
  stream_->read(buffer_, [self = shared_from_this()](std::error_code error, size_t bytes) {
    self->on_read(error, bytes);
  });
}

void SessionCore::on_read(std::error_code error, size_t bytes) {
  if (error) {
    end(make_error(ErrorCode::closed, "connection lost: " + stream_->explain(error),
                   Remedy::reconnect));
    return;
  }
  heard_at_ = options_.clock.now();
  arrived_ = false;
  if (auto status = take_bytes({buffer_.data(), bytes}); !status) {
    end(std::move(status.error()));
    return;
  }
  if (arrived_) call_ready();
  {
    const std::lock_guard lock(mutex_);
    if (phase_ == Phase::ended) return;
    if (phase_ == Phase::open && inbox_.prompt_bytes() > prompt_inbox_bytes_max) {
      read_paused_ = true;
      return;
    }
  }
  read_more();
}

Status SessionCore::take_bytes(std::string_view bytes) {
  {
    const std::lock_guard lock(mutex_);
    counters_.wire_bytes_in += bytes.size();
    if (phase_ != Phase::open) return {};  // nobody is there to take it
  }
  if (!greeted_) {
    auto done = banner_.feed(bytes);
    if (!done) return fail(std::move(done.error()));
    greeted_ = *done;
    if (!greeted_) return {};
    const std::lock_guard lock(mutex_);
    if (phase_ == Phase::open) watch_peer();
  }
  auto status = reader_.feed(bytes);
  const std::lock_guard lock(mutex_);
  counters_.plain_bytes_in = reader_.plain_bytes();
  return status;
}

Status SessionCore::on_frame(const FrameHeader& header, std::string_view body,
                             std::string_view raw) {
  if (header.kind < first_message_kind) return on_control(header, body);
  auto message = decode_message(header.kind, body, raw);
  if (!message) return fail(std::move(message.error()));
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::open) return {};
  if (!inbox_.push(std::move(*message), static_cast<Lane>(header.lane),
                   frame_cost(header.payload_bytes))) {
    return broken("more data than there was credit for");
  }
  ++counters_.messages_in;
  arrived_ = true;
  return {};
}

Status SessionCore::on_control(const FrameHeader& header, std::string_view body) {
  if (header.payload_bytes > reason_bytes_max) return broken("a control frame that is too large");
  switch (header.kind) {
    case wire::KIND_PING:
      return {};
    case wire::KIND_GOODBYE:
      return fail(ErrorCode::closed, "closed the connection: " + escape(body), Remedy::reconnect);
    case wire::KIND_CREDIT: {
      ByteReader reader(body);
      const uint64_t bytes = reader.u64();
      const uint8_t lane = reader.u8();
      const std::lock_guard lock(mutex_);
      if (!reader.done() || lane > static_cast<uint8_t>(Lane::background) ||
          !outbox_.add_credit(static_cast<Lane>(lane), bytes)) {
        return broken("more credit than there is");
      }
      arrived_ = owner_waits() || arrived_;
      request_pump();
      return {};
    }
    case wire::KIND_BLOCKED: {
      ByteReader reader(body);
      const uint8_t lane = reader.u8();
      if (!reader.done() || lane > static_cast<uint8_t>(Lane::background)) {
        return broken("a lane that does not exist");
      }
      const std::lock_guard lock(mutex_);
      inbox_.widen(static_cast<Lane>(lane));
      request_pump();
      return {};
    }
    default:
      return broken("an unknown control frame");
  }
}

// --- writing
// -------------------------------------------------------------------------------------------------

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
  write_.began = options_.clock.now();
  for (const Payload& payload : control) writer_.add(payload, static_cast<uint8_t>(Lane::prompt));
  for (const Outbox::Item& item : burst) writer_.add(item.payload, static_cast<uint8_t>(item.lane));
  const std::string_view bytes = writer_.finish();
  spoke_at_ = options_.clock.now();
  write_.bytes = bytes.size();
  bucket_.charge(bytes.size(), spoke_at_);
  {
    const std::lock_guard lock(mutex_);
    counters_.plain_bytes_out += writer_.plain_bytes();
    counters_.wire_bytes_out += bytes.size();
  }
  writing_ = true;
  stream_->write(bytes,
                 [self = shared_from_this()](std::error_code error) { self->on_written(error); });
}

// Sizes follow the rate of the link.
void SessionCore::measure() {
  const Write done = std::exchange(write_, {});
  const Duration waited = options_.clock.now() - spoke_at_ + done.waiting;
  if (!meter_.add(done.bytes, spoke_at_ - done.began, waited)) return;
  write_bytes_ = meter_.write_bytes();
  if (std::exchange(unsent_bytes_, meter_.unsent_bytes()) != meter_.unsent_bytes()) {
    stream_->limit_unsent(meter_.unsent_bytes());
  }
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

// --- the peer's life, and the end
// ----------------------------------------------------------------------------

void SessionCore::watch_peer() {
  tick_.expires_after(greeted_ ? options_.times.heartbeat : options_.times.handshake_max);
  tick_.async_wait([self = shared_from_this()](std::error_code error) {
    if (!error) self->on_tick();
  });
}

void SessionCore::on_tick() {
  bool paused = false;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::open) return;
    paused = read_paused_;
  }
  if (!greeted_) {
    end(make_error(ErrorCode::timeout, "said nothing after connecting", Remedy::reconnect));
    return;
  }
  const MonotonicTime now = options_.clock.now();
  if (!paused && now - heard_at_ >= options_.times.silent_max) {
    end(make_error(ErrorCode::timeout,
                   "was silent for " + std::to_string(options_.times.silent_max.count()) +
                       " ms and is taken for dead",
                   Remedy::reconnect));
    return;
  }
  if (now - spoke_at_ >= options_.times.heartbeat / 2) {
    ping_due_ = true;
    pump();
  }
  watch_peer();
}

Error SessionCore::name_peer(Error error) const {
  error.message = "peer " + options_.peer_name + ": " + error.message;
  return error;
}

void SessionCore::end(Error error) {
  bool tell = false;
  {
    const std::lock_guard lock(mutex_);
    if (phase_ == Phase::ended) return;
    tell = phase_ == Phase::open;
    if (tell) reason_ = name_peer(std::move(error));
    phase_ = Phase::ended;
    outbox_.clear();
  }
  tick_.cancel();
  pace_.cancel();
  stream_->close();
  if (tell) call_ready();
}

void SessionCore::abort() { end(make_error(ErrorCode::closed, "this node is shutting down")); }

void SessionCore::call_ready() {
  const std::lock_guard lock(ready_mutex_);
  if (ready_) ready_();
}

}  // namespace repl::transport
