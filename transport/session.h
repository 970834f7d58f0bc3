// session.h: the protocol over a byte stream (docs/PROTOCOL.md): banner, frames, lanes, credit,
// heartbeats, bandwidth limit. What TLS, stdio and ssh channels are.
//
// Bounds: what is queued on the bulk or the background lane never exceeds the peer's credit for it
// by more than one frame; the prompt lane is taken without asking up to limits::outbox_bytes_max,
// then the connection is given up. Of what has arrived and was not taken, bulk and background are
// bounded by the credit we gave; beyond prompt_inbox_bytes_max of prompt messages we stop reading
// until the owner takes them.
//
// Thread: the Channel contract. Clock and Log must outlive the IoThread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/clock.h"
#include "engine/base/fd.h"
#include "engine/base/limits.h"
#include "engine/base/log.h"
#include "transport/channel.h"

namespace repl::transport {

class IoThread;
class ByteStream;

inline constexpr size_t prompt_inbox_bytes_max = limits::outbox_bytes_max;

// The limits of limits.h unless a test is in a hurry.
struct SessionTimes {
  std::chrono::milliseconds heartbeat{limits::heartbeat_ms};
  std::chrono::milliseconds silent_max{limits::peer_silent_ms_max};
  std::chrono::milliseconds handshake_max{limits::handshake_ms_max};
  std::chrono::milliseconds close_flush_max{limits::close_flush_ms_max};
  std::chrono::milliseconds zstd_rest{limits::zstd_rest_ms};
};

struct SessionOptions {
  std::string peer_name;  // for messages and peer(); a listener fills in the pinned name
  uint64_t bandwidth_bytes_per_s = 0;  // of what leaves, compressed; 0: unlimited
  bool compress = true;                // as hard as pays (level_control.h)
  const Clock& clock;
  Log& log;
  SessionTimes times{};
};

// Starts at once. `on_ready` is called right away if something arrived before it was set.
[[nodiscard]] std::shared_ptr<Channel> make_session(IoThread& io,
                                                    std::unique_ptr<ByteStream> stream,
                                                    const SessionOptions& options);

// A session over two descriptors (`repl serve --stdio`, a socket pair). Both become non-blocking.
[[nodiscard]] Result<std::shared_ptr<Channel>> make_stdio_channel(IoThread& io, Fd in, Fd out,
                                                                  const SessionOptions& options);

}  // namespace repl::transport
