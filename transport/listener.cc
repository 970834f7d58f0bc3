#include "transport/listener.h"

#include <asio/ip/tcp.hpp>
#include <asio/ip/v6_only.hpp>
#include <asio/steady_timer.hpp>
#include <mutex>
#include <utility>

#include "transport/io_thread.h"
#include "transport/session_core.h"
#include "transport/tcp.h"
#include "transport/tls.h"

namespace repl::transport {

using asio::ip::tcp;

namespace {
// When accepting fails (EMFILE, ENFILE, ENOMEM), so that it does not spin.
constexpr std::chrono::milliseconds accept_pause{200};
constexpr std::chrono::seconds warnings_window{10};
constexpr uint64_t warnings_max = 10;

std::string name_of(const tcp::endpoint& endpoint) {
  return endpoint.address().to_string() + " port " + std::to_string(endpoint.port());
}
}  // namespace

class Listener::Impl final : public Abortable, public std::enable_shared_from_this<Impl> {
 public:
  Impl(std::shared_ptr<IoCore> io, std::shared_ptr<TlsContext> tls, const SessionOptions& options,
       std::vector<Pin> pins, OnAccept on_accept)
      : io_(std::move(io)),
        tls_(std::move(tls)),
        options_(options),
        acceptor_(io_->context()),
        pause_(io_->context()),
        pins_(std::move(pins)),
        on_accept_(std::move(on_accept)) {}

  Status bind(const std::string& address, uint16_t port) {
    std::error_code error;
    tcp::endpoint endpoint(tcp::v6(), port);
    if (!address.empty()) endpoint = tcp::endpoint(asio::ip::make_address(address, error), port);
    if (error) return fail(ErrorCode::invalid, "\"" + address + "\" is not an IP address");
    acceptor_.open(endpoint.protocol(), error);
    if (error == std::errc::address_family_not_supported && address.empty()) {
      endpoint = tcp::endpoint(tcp::v4(), port);
      error.clear();
      acceptor_.open(endpoint.protocol(), error);
    }
    if (!error && address.empty() && endpoint.protocol() == tcp::v6()) {
      acceptor_.set_option(asio::ip::v6_only(false), error);
    }
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) prepare_tcp(acceptor_.native_handle());  // what is accepted inherits it
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail(sys_error("listen on " + name_of(endpoint), error.value()));
    port_ = acceptor_.local_endpoint(error).port();
    return {};
  }

  void start() {
    io_->adopt(shared_from_this());
    io_->post([self = shared_from_this()] { self->accept(); });
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      on_accept_ = nullptr;
    }
    io_->post([self = shared_from_this()] { self->abort(); });
  }
  void abort() override {
    std::error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
    for (const auto& weak : handshakes_) {
      if (auto handshake = weak.lock()) handshake->abort();
    }
  }

  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  void accept() {
    if (!acceptor_.is_open()) return;
    acceptor_.async_accept([self = shared_from_this()](std::error_code error, tcp::socket socket) {
      self->on_socket(error, std::move(socket));
    });
  }

  void on_socket(const std::error_code& error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (error && error != asio::error::connection_aborted) {
      options_.log.error("accept on port {}: {}", port_, error.message());
      pause_.expires_after(accept_pause);
      pause_.async_wait([self = shared_from_this()](std::error_code cancelled) {
        if (!cancelled) self->accept();
      });
      return;
    }
    if (!error) admit(std::move(socket));
    accept();
  }

  void admit(tcp::socket socket) {
    std::error_code error;
    const tcp::endpoint remote = socket.remote_endpoint(error);
    std::erase_if(handshakes_, [](const auto& weak) { return weak.expired(); });
    if (error) return;
    // The oldest makes room: a peer says who it is within moments, and who only holds connections
    // keeps nobody out.
    if (handshakes_.size() >= limits::connections_unauthenticated_max) {
      warn("too many connections that do not say who they are; the oldest is closed");
      if (auto oldest = handshakes_.front().lock()) oldest->abort();
      handshakes_.erase(handshakes_.begin());
    }
    tune_tcp(socket.native_handle());
    handshakes_.push_back(start_handshake(
        io_, tls_, std::move(socket), name_of(remote),
        [self = shared_from_this()](const std::string& fingerprint) {
          return self->node_of(fingerprint);
        },
        options_.times.handshake_max,
        [self = shared_from_this()](Result<TlsPeer> peer) {
          self->on_handshake(std::move(peer));
        }));
  }

  [[nodiscard]] std::optional<std::string> node_of(const std::string& fingerprint) const {
    for (const Pin& pin : pins_) {
      if (pin.fingerprint == fingerprint) return pin.node;
    }
    return std::nullopt;
  }

  void on_handshake(Result<TlsPeer> peer) {
    if (!acceptor_.is_open()) return;
    if (!peer) {
      warn(peer.error().message);
      return;
    }
    SessionOptions options = options_;
    options.peer_name = peer->node;
    options.bandwidth_bytes_per_s = 0;
    for (const Pin& pin : pins_) {
      if (pin.node == peer->node) options.bandwidth_bytes_per_s = pin.bandwidth_bytes_per_s;
    }
    auto channel = start_session(io_, std::move(peer->stream), options);
    const std::lock_guard lock(mutex_);
    if (on_accept_) on_accept_(std::move(channel));
  }

  // Anybody can make us warn, so it is counted after a while.
  void warn(const std::string& what) {
    const MonotonicTime now = options_.clock.now();
    if (now - warned_at_ >= warnings_window) {
      if (unsaid_ > 0) {
        options_.log.warn("port {}: {} more connections were refused like that", port_, unsaid_);
      }
      warned_at_ = now;
      said_ = unsaid_ = 0;
    }
    if (said_ == warnings_max) {
      ++unsaid_;
      return;
    }
    ++said_;
    options_.log.warn("port {}: {}", port_, what);
  }

  const std::shared_ptr<IoCore> io_;
  const std::shared_ptr<TlsContext> tls_;
  const SessionOptions options_;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  uint16_t port_ = 0;
  const std::vector<Pin> pins_;
  std::vector<std::weak_ptr<Abortable>> handshakes_;  // oldest first
  MonotonicTime warned_at_{};
  uint64_t said_ = 0;  // since then
  uint64_t unsaid_ = 0;

  // RACE: the owner may go away while a peer is being handed over, hence under the lock.
  std::mutex mutex_;
  OnAccept on_accept_;
};

Result<std::unique_ptr<Listener>> Listener::open(IoThread& io, const Identity& identity,
                                                 const std::string& address, uint16_t port,
                                                 std::vector<Pin> pins,
                                                 const SessionOptions& options,
                                                 OnAccept on_accept) {
  auto tls = TlsContext::make(identity, TlsSide::server);
  if (!tls) return fail(std::move(tls.error()));
  auto impl = std::make_shared<Impl>(io.core(), std::move(*tls), options, std::move(pins),
                                     std::move(on_accept));
  if (auto status = impl->bind(address, port); !status) return fail(std::move(status.error()));
  impl->start();
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() { impl_->stop(); }
uint16_t Listener::port() const { return impl_->port(); }

}  // namespace repl::transport
