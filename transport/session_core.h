// session_core.h: the working half of a session; SessionChannel in session.cc is the owner's half,
// so that a session ends when its owner lets go of the channel while the I/O thread still works on
// it. Internal.
//
// Thread: functions under "any thread" lock; the rest belongs to the I/O thread.
#pragma once

#include <array>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "transport/banner.h"
#include "transport/byte_stream.h"
#include "transport/frame.h"
#include "transport/inbox.h"
#include "transport/io_core.h"
#include "transport/level_control.h"
#include "transport/link_meter.h"
#include "transport/outbox.h"
#include "transport/session.h"
#include "transport/token_bucket.h"

namespace repl::transport {

// For those who have no IoThread at hand.
[[nodiscard]] std::shared_ptr<Channel> start_session(const std::shared_ptr<IoCore>& io,
                                                     std::unique_ptr<ByteStream> stream,
                                                     const SessionOptions& options);

class SessionCore final : public Abortable, public std::enable_shared_from_this<SessionCore> {
 public:
  SessionCore(std::shared_ptr<IoCore> io, std::unique_ptr<ByteStream> stream,
              const SessionOptions& options);
  void start();

  // Any thread.
  [[nodiscard]] bool send(Message message, Lane lane);
  [[nodiscard]] size_t writable(Lane lane) const;
  [[nodiscard]] bool drained(Lane lane) const;
  [[nodiscard]] std::vector<Message> receive();
  [[nodiscard]] bool open() const;
  [[nodiscard]] Error close_reason() const;
  void close(const std::string& reason);
  void on_ready(std::function<void()> ready);
  [[nodiscard]] ChannelCounters counters() const;
  [[nodiscard]] const std::string& peer() const { return options_.peer_name; }

  void abort() override;

 private:
  enum class Phase : uint8_t {
    open,      // messages flow
    flushing,  // closed for the owner; what is queued, then Goodbye, still leaves
    leaving,   // Goodbye is on its way; waits for the peer to close
    ended,
  };

  void read_more();
  void on_read(std::error_code error, size_t bytes);
  [[nodiscard]] Status take_bytes(std::string_view bytes);
  [[nodiscard]] Status on_frame(const FrameHeader& header, std::string_view body,
                                std::string_view raw);
  [[nodiscard]] Status on_control(const FrameHeader& header, std::string_view body);

  void request_pump();               // with mutex_ held
  [[nodiscard]] bool owner_waits();  // with mutex_ held: no more, it is to be woken
  void pump();
  void write_burst(std::vector<Outbox::Item>& burst, std::vector<Payload>& control);
  [[nodiscard]] bool pace();
  void on_written(std::error_code error);
  void measure();
  void adapt(MonotonicTime now);
  void tell_level();
  void collect_control(std::vector<Payload>& control);  // with mutex_ held

  void watch_peer();
  void on_tick();
  void end(Error error);
  void call_ready();
  [[nodiscard]] Error name_peer(Error error) const;

  const std::shared_ptr<IoCore> io_;
  const std::unique_ptr<ByteStream> stream_;
  const SessionOptions options_;
  // Of one write, and of a piece of a message: set on the I/O thread.
  std::atomic<size_t> write_bytes_{limits::write_bytes_initial};

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  Phase phase_ = Phase::open;
  Error reason_;
  std::string goodbye_;
  Outbox outbox_;
  Inbox inbox_;
  ChannelCounters counters_;
  MonotonicTime bottleneck_at_{};  // when counters_.bottleneck was true
  // Posted, or a write is under way whose end will pump; the first is that of the banner.
  bool pump_due_ = true;
  // By lane: the owner was told that there is no room, or that it is not drained; it is told when
  // that changes.
  mutable std::array<bool, 3> wants_room_{};
  mutable std::array<bool, 3> wants_drained_{};
  bool read_paused_ = false;

  // RACE: the owner may go away while the I/O thread is about to wake it. ready_ is called with
  // this mutex held, and the owner's half clears it with this mutex held before it is gone. Never
  // taken inside mutex_.
  std::mutex ready_mutex_;
  std::function<void()> ready_;

  // The I/O thread's own.
  FrameReader reader_;
  FrameWriter writer_;
  BannerReader banner_;
  TokenBucket bucket_;
  LinkMeter meter_;
  LevelControl level_;
  LinkWork write_;                  // the one under way
  MonotonicTime sampled_at_{};      // the end of the meter's last sample,
  Duration processor_at_sample_{};  // and what the thread had run by then
  size_t unsent_bytes_ = 0;
  asio::steady_timer tick_;
  asio::steady_timer pace_;
  MonotonicTime heard_at_;
  MonotonicTime spoke_at_;
  MonotonicTime sent_at_;  // more than heartbeats
  std::string banner_out_;
  bool greeted_ = false;  // the peer's banner was read
  // RACE: what another thread posts may run before start()'s work (io_core.h), so a session is born
  // writing its banner: nothing else leaves until that has.
  bool writing_ = true;
  bool greeting_sent_ = false;
  bool pacing_ = false;
  bool ping_due_ = false;
  bool arrived_ = false;
  std::array<char, 128 * 1024> buffer_;
};

}  // namespace repl::transport
