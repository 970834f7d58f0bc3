// tls.h: TLS 1.3 over a connected TCP socket, mutual, trust by pinned fingerprint only. Internal to
// transport.
//
// No session resumption, no tickets, no names and no authorities: the peer's certificate is the
// pinned one or the handshake fails. A certificate outside its dates is refused too, though repl's
// own are always valid.
//
// Thread: the I/O thread, but for TlsContext::make.
#pragma once

#include <asio/ip/tcp.hpp>
#include <asio/ssl/context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "transport/byte_stream.h"
#include "transport/identity.h"
#include "transport/io_core.h"
#include "transport/session.h"

namespace repl::transport {

enum class TlsSide : uint8_t { client, server };

// The node that a fingerprint belongs to; nothing: nobody we know.
using WhoIs = std::function<std::optional<std::string>(const std::string& fingerprint)>;

struct TlsContext {
  asio::ssl::context context;
  TlsSide side;

  [[nodiscard]] static Result<std::shared_ptr<TlsContext>> make(const Identity& identity,
                                                                TlsSide side);
};

struct TlsPeer {
  std::unique_ptr<ByteStream> stream;
  std::string node;
};
using OnTls = std::function<void(Result<TlsPeer>)>;

// Ends within `time_max`. `done` is called exactly once, on the I/O thread; the handshake lives in
// `io` meanwhile. `remote` names the other end in errors.
std::shared_ptr<Abortable> start_handshake(const std::shared_ptr<IoCore>& io,
                                           std::shared_ptr<TlsContext> context,
                                           asio::ip::tcp::socket socket, std::string remote,
                                           WhoIs who_is, std::chrono::milliseconds time_max,
                                           OnTls done);

}  // namespace repl::transport
