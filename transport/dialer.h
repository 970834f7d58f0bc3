// dialer.h: connects to one peer over TLS.
//
// Success means that the peer proved to be the pinned node. That it accepted *us* shows only when
// it speaks (TLS 1.3 finishes on our side first): back off until its Hello, not until `done`.
//
// Thread: `done` is called once, on the I/O thread, and must only hand the result over; never again
// once the dial's destructor has returned, which cancels it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/base/error.h"
#include "transport/channel.h"
#include "transport/identity.h"
#include "transport/session.h"

namespace repl::transport {

class IoThread;

struct DialTarget {
  std::string host;  // an address or a name
  uint16_t port = 0;
  std::string fingerprint;
};

class Dial {
 public:
  using Done = std::function<void(Result<std::shared_ptr<Channel>>)>;

  // All of it (lookup, connect, handshake) within options.times.handshake_max.
  [[nodiscard]] static Result<std::unique_ptr<Dial>> start(IoThread& io, const Identity& identity,
                                                           DialTarget target,
                                                           const SessionOptions& options,
                                                           Done done);
  ~Dial();
  Dial(const Dial&) = delete;
  Dial& operator=(const Dial&) = delete;

 private:
  class Impl;
  explicit Dial(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace repl::transport
