// listener.h: accepts peers over TLS. Who is not pinned never gets a channel.
//
// Bounds: limits::connections_unauthenticated_max handshakes at a time, each within the handshake
// time-out; one more closes the oldest. At most 10 warnings in 10 s.
//
// Thread: `on_accept` is called on the I/O thread and must only hand the channel over; never again
// once the listener's destructor has returned. Everything else from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "transport/channel.h"
#include "transport/identity.h"
#include "transport/session.h"

namespace repl::transport {

class IoThread;

struct Pin {
  std::string node;
  std::string fingerprint;
  uint64_t bandwidth_bytes_per_s = 0;  // sent to that node; 0: unlimited
};

class Listener {
 public:
  // `channel->peer()` is the pinned node's name.
  using OnAccept = std::function<void(std::shared_ptr<Channel> channel)>;

  // `address`: an IP address, or empty for all. `port` 0: any (port() says which).
  // Name and bandwidth of `options` are not used: the pin says them. Error names address and port.
  [[nodiscard]] static Result<std::unique_ptr<Listener>> open(
      IoThread& io, const Identity& identity, const std::string& address, uint16_t port,
      std::vector<Pin> pins, const SessionOptions& options, OnAccept on_accept);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  [[nodiscard]] uint16_t port() const;

 private:
  class Impl;
  explicit Listener(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace repl::transport
