// channel.h: a connection to one peer for one tree. TLS over TCP, ssh stdio and an in-memory pair
// implement it.
//
// Messages are delivered whole and validated in shape: prompt ones first, the others in the order
// in which they left, which is that of each lane (engine/model/lane.h). Flow control is by credit,
// one for bulk and one for background: what the receiver's owner has taken with `receive`.
// Heartbeats, compression and framing are the channel's business and never seen here.
//
// Thread: every function from any thread. `on_ready` is called on the channel's I/O thread and must
// only wake the owner.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/model/bottleneck.h"
#include "engine/model/lane.h"
#include "engine/model/message.h"

namespace repl::transport {

struct ChannelCounters {
  uint64_t wire_bytes_out = 0;  // after compression, before TLS
  uint64_t wire_bytes_in = 0;
  uint64_t plain_bytes_out = 0;  // before compression
  uint64_t plain_bytes_in = 0;
  uint64_t messages_out = 0;
  uint64_t messages_in = 0;
  // Of what leaves, now: how hard it is compressed (level 0: not at all), and what keeps it from
  // going faster.
  int zstd_level = 0;
  uint64_t zstd_window_bytes = 0;
  Bottleneck bottleneck = Bottleneck::none;
};

class Channel {
 public:
  virtual ~Channel() = default;

  // Queues. False when the queue is full (writable() says so beforehand) or the channel is closed:
  // the message was not taken. A prompt message is always taken while the channel is open.
  virtual bool send(Message message, Lane lane) = 0;
  // Bytes that may be queued now on the bulk or background lane without waiting (credit and queue
  // bound).
  [[nodiscard]] virtual size_t writable(Lane lane) const = 0;
  // Whether all that was sent on that lane has left the queue for the connection: nothing that is
  // sent afterwards on bulk or background arrives before it.
  [[nodiscard]] virtual bool drained(Lane lane) const = 0;
  // What has arrived; taking it returns credit to the peer. Bounded by the credit we gave.
  [[nodiscard]] virtual std::vector<Message> receive() = 0;
  // Whether the connection is open; once closed it stays so and `close_reason` says why.
  [[nodiscard]] virtual bool open() const = 0;
  [[nodiscard]] virtual Error close_reason() const = 0;
  // Sends what is queued if that takes no longer than a moment, then closes.
  virtual void close(const std::string& reason) = 0;
  // Called when receive() or open() would say something new, and when writable() has room or
  // drained() is true after they said otherwise. Set once, before start.
  virtual void on_ready(std::function<void()> ready) = 0;
  [[nodiscard]] virtual ChannelCounters counters() const = 0;
  // Who it is: the pinned node name (TLS), or what the ssh command line says.
  [[nodiscard]] virtual std::string peer() const = 0;
};

// Two ends in one process. With `through_codec` every message is encoded and decoded as on a wire.
struct ChannelPair {
  std::shared_ptr<Channel> left;
  std::shared_ptr<Channel> right;
};
[[nodiscard]] ChannelPair make_memory_pair(bool through_codec);

}  // namespace repl::transport
