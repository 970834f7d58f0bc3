#include "transport/session_core.h"

#include "engine/base/bytes.h"
#include "engine/base/escape.h"
#include "transport/pieces.h"
#include "transport/wire.pb.h"

namespace repl::transport {

namespace {

std::unexpected<Error> broken(std::string_view what) {
  return fail(ErrorCode::protocol, "broke the protocol: " + std::string(what), Remedy::reconnect);
}

// For people: what was the limit a second ago is not the limit of an idle connection.
constexpr Duration bottleneck_known_for = std::chrono::seconds(1);

}  // namespace

SessionCore::SessionCore(std::shared_ptr<IoCore> io, std::unique_ptr<ByteStream> stream,
                         const SessionOptions& options)
    : io_(std::move(io)),
      stream_(std::move(stream)),
      options_(options),
      reader_([this](const FrameHeader& header, std::string_view body, std::string_view raw) {
        return on_frame(header, body, raw);
      }),
      writer_(options.compress ? gears[gear_initial].compression : Compression{}),
      bucket_(options.bandwidth_bytes_per_s, options.clock.now()),
      tick_(io_->context()),
      pace_(io_->context()),
      heard_at_(options.clock.now()),
      spoke_at_(heard_at_),
      sent_at_(heard_at_) {
  tell_level();
}

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
  ChannelCounters counters = counters_;
  if (options_.clock.now() - bottleneck_at_ > bottleneck_known_for) {
    counters.bottleneck = Bottleneck::none;
  }
  return counters;
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
    if (options_.compress && now - sent_at_ >= options_.times.zstd_rest) {
      level_.rest();
      writer_.use(level_.compression());
      writer_.rest();
      tell_level();
    }
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
