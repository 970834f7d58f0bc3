// control_server.h: the daemon's end of the control socket.
//
// Who may ask: SO_PEERCRED must say root or the daemon's own user; members of the group `repl` (if
// there is one) may send read-only commands. The socket is 0660, of that group.
//
// Bounds: limits::control_clients_max clients (one more is told so and closed), one request of at
// most limits::control_request_bytes_max per connection, limits::control_request_ms_max for it to
// arrive, and a client that does not read its replies is dropped once
// limits::control_reply_bytes_max wait for it.
//
// Thread: one of its own, on which the handler is called; it must not block there. A Reply may be
// kept and completed later, from any thread, also after the client or the server has gone (then it
// does nothing).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cli/control_protocol.h"
#include "engine/base/error.h"
#include "engine/base/log.h"

namespace repl::cli {

class Reply {
 public:
  struct Sink;
  explicit Reply(std::shared_ptr<Sink> sink) : sink_(std::move(sink)) {}

  void progress(std::string json);           // one JSON value
  void done(std::string json = "{}");        // ends the request
  void failed(std::string error, int exit);  // ends the request
  // True once the client has gone: the work need not go on.
  [[nodiscard]] bool abandoned() const;

 private:
  std::shared_ptr<Sink> sink_;
};

using ControlHandler = std::function<void(Request, Reply)>;

class ControlServer {
 public:
  struct Options {
    std::string socket_path;     // a stale socket there is replaced, a live one is an error
    std::string group = "repl";  // left alone if there is no such group
  };
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> start(const Options& options,
                                                                    ControlHandler handler,
                                                                    Log& log);
  // Ends the thread, closes every client, removes the socket.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct Loop;
  explicit ControlServer(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace repl::cli
