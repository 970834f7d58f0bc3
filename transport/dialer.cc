#include "transport/dialer.h"

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <mutex>
#include <utility>

#include "transport/io_thread.h"
#include "transport/session_core.h"
#include "transport/tcp.h"
#include "transport/tls.h"

namespace repl::transport {

using asio::ip::tcp;

class Dial::Impl final : public Abortable, public std::enable_shared_from_this<Impl> {
 public:
  Impl(std::shared_ptr<IoCore> io, std::shared_ptr<TlsContext> tls, DialTarget target,
       const SessionOptions& options, Done done)
      : io_(std::move(io)),
        tls_(std::move(tls)),
        target_(std::move(target)),
        options_(options),
        resolver_(io_->context()),
        socket_(io_->context()),
        timer_(io_->context()),
        done_(std::move(done)) {}

  void start() {
    io_->adopt(shared_from_this());
    io_->post([self = shared_from_this()] { self->resolve(); });
  }
  void cancel() {
    {
      const std::lock_guard lock(mutex_);
      done_ = nullptr;
    }
    io_->post([self = shared_from_this()] { self->abort(); });
  }
  void abort() override {
    if (std::exchange(over_, true)) return;
    std::error_code ignored;
    timer_.cancel();
    resolver_.cancel();
    socket_.close(ignored);
    if (handshake_) handshake_->abort();
    finish(fail(ErrorCode::closed, "peer " + name() + ": connecting was given up"));
  }

 private:
  [[nodiscard]] std::string name() const {
    const std::string where = target_.host + " port " + std::to_string(target_.port);
    return options_.peer_name.empty() ? where : options_.peer_name + " (" + where + ")";
  }

  void resolve() {
    if (over_) return;
    timer_.expires_after(options_.times.handshake_max);
    timer_.async_wait([self = shared_from_this()](std::error_code error) {
      if (!error) self->give_up(ErrorCode::timeout, "did not answer in time");
    });
    std::error_code error;
    const auto address = asio::ip::make_address(target_.host, error);
    if (!error) {
      connect({tcp::endpoint(address, target_.port)});
      return;
    }
    resolver_.async_resolve(target_.host, std::to_string(target_.port),
                            [self = shared_from_this()](std::error_code failed,
                                                        const tcp::resolver::results_type& found) {
                              if (self->over_) return;
                              if (failed) {
                                self->give_up(ErrorCode::not_found,
                                              "its address was not found: " + failed.message());
                                return;
                              }
                              std::vector<tcp::endpoint> endpoints;
                              for (const auto& entry : found) endpoints.push_back(entry.endpoint());
                              self->connect(std::move(endpoints));
                            });
  }

  void connect(std::vector<tcp::endpoint> endpoints) {
    endpoints_ = std::move(endpoints);
    next_ = 0;
    connect_next(asio::error::host_not_found);
  }

  // One address after the other; `before`: what became of the last one.
  void connect_next(std::error_code before) {
    if (over_) return;
    if (next_ == endpoints_.size()) {
      give_up(ErrorCode::closed, "connect: " + before.message());
      return;
    }
    const tcp::endpoint& endpoint = endpoints_[next_++];
    std::error_code error;
    socket_.close(error);
    socket_.open(endpoint.protocol(), error);
    if (error) {
      connect_next(error);
      return;
    }
    prepare_tcp(socket_.native_handle());
    socket_.async_connect(endpoint, [self = shared_from_this()](std::error_code failed) {
      if (failed) {
        self->connect_next(failed);
      } else if (!self->over_) {
        self->handshake();
      }
    });
  }

  void handshake() {
    tune_tcp(socket_.native_handle());
    handshake_ = start_handshake(
        io_, tls_, std::move(socket_), name(),
        [wanted = target_.fingerprint,
         node = options_.peer_name](const std::string& fingerprint) -> std::optional<std::string> {
          if (fingerprint != wanted) return std::nullopt;
          return node;
        },
        options_.times.handshake_max,
        [self = shared_from_this()](Result<TlsPeer> peer) { self->on_handshake(std::move(peer)); });
  }

  void on_handshake(Result<TlsPeer> peer) {
    handshake_.reset();
    if (std::exchange(over_, true)) return;
    timer_.cancel();
    if (!peer) {
      finish(fail(std::move(peer.error())));
      return;
    }
    finish(start_session(io_, std::move(peer->stream), options_));
  }

  void give_up(ErrorCode code, const std::string& why) {
    if (std::exchange(over_, true)) return;
    std::error_code ignored;
    timer_.cancel();
    resolver_.cancel();
    socket_.close(ignored);
    if (handshake_) handshake_->abort();
    finish(fail(code, "peer " + name() + ": " + why, Remedy::reconnect));
  }

  void finish(Result<std::shared_ptr<Channel>> result) {
    const std::lock_guard lock(mutex_);
    if (auto done = std::exchange(done_, nullptr)) done(std::move(result));
  }

  const std::shared_ptr<IoCore> io_;
  const std::shared_ptr<TlsContext> tls_;
  const DialTarget target_;
  const SessionOptions options_;
  tcp::resolver resolver_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  std::vector<tcp::endpoint> endpoints_;
  size_t next_ = 0;  // of them, to be tried
  std::shared_ptr<Abortable> handshake_;
  bool over_ = false;

  // RACE: the owner may go away while the result is being handed over, hence under the lock.
  std::mutex mutex_;
  Done done_;
};

Result<std::unique_ptr<Dial>> Dial::start(IoThread& io, const Identity& identity, DialTarget target,
                                          const SessionOptions& options, Done done) {
  auto tls = TlsContext::make(identity, TlsSide::client);
  if (!tls) return fail(std::move(tls.error()));
  auto impl = std::make_shared<Impl>(io.core(), std::move(*tls), std::move(target), options,
                                     std::move(done));
  impl->start();
  return std::unique_ptr<Dial>(new Dial(std::move(impl)));
}

Dial::Dial(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Dial::~Dial() { impl_->cancel(); }

}  // namespace repl::transport
