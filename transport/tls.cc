#include "transport/tls.h"

#include <openssl/ssl.h>

#include <asio/buffer.hpp>
#include <asio/ssl/stream.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>

#include "transport/crypto.h"
#include "transport/tcp.h"

namespace repl::transport {

namespace {

// What the certificate callback of one handshake needs and finds.
struct Verification {
  WhoIs who_is;
  std::string node;
  std::string problem;
};

int verification_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// Replaces OpenSSL's chain building: the pin is the trust.
int verify_pin(X509_STORE_CTX* store, void*) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* verification = static_cast<Verification*>(SSL_get_ex_data(ssl, verification_index()));
  const X509* certificate = X509_STORE_CTX_get0_cert(store);
  if (verification == nullptr || certificate == nullptr) return 0;
  const auto refuse = [&](int error, std::string problem) {
    verification->problem = std::move(problem);
    X509_STORE_CTX_set_error(store, error);
    return 0;
  };
  const std::string fingerprint = fingerprint_of(certificate);
  const auto node = verification->who_is(fingerprint);
  if (!node) {
    return refuse(X509_V_ERR_CERT_REJECTED,
                  "its fingerprint " + fingerprint + " is not the one in the config");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0) {
    return refuse(X509_V_ERR_CERT_NOT_YET_VALID,
                  "the certificate of " + *node + " is not valid yet");
  }
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
    return refuse(X509_V_ERR_CERT_HAS_EXPIRED, "the certificate of " + *node + " has expired");
  }
  verification->node = *node;
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

using SslSocket = asio::ssl::stream<asio::ip::tcp::socket>;

bool is_alert(const std::error_code& error) {
  return error.category() == asio::error::get_ssl_category() &&
         ERR_GET_LIB(static_cast<unsigned long>(error.value())) == ERR_LIB_SSL &&
         ERR_GET_REASON(static_cast<unsigned long>(error.value())) >= SSL_AD_REASON_OFFSET;
}

std::string explain_tls(const std::error_code& error) {
  if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) {
    return "the other side closed the connection";
  }
  if (is_alert(error)) {
    return "the other side refused this node (" + error.message() +
           "); is this node's fingerprint in its config?";
  }
  return error.message();
}

class TlsStream final : public ByteStream {
 public:
  TlsStream(std::shared_ptr<IoCore> io, std::shared_ptr<TlsContext> context,
            std::unique_ptr<SslSocket> socket)
      : io_(std::move(io)), context_(std::move(context)), socket_(std::move(socket)) {}

  void read(std::span<char> into, OnRead done) override {
    socket_->async_read_some(asio::buffer(into.data(), into.size()), std::move(done));
  }
  void write(std::string_view bytes, OnWrite done) override {
    asio::async_write(*socket_, asio::buffer(bytes.data(), bytes.size()),
                      [done = std::move(done)](std::error_code error, size_t) { done(error); });
  }
  void limit_unsent(size_t bytes) override {
    limit_unsent_tcp(socket_->next_layer().native_handle(), bytes);
  }
  // No close_notify: Goodbye is inside the encrypted stream, so a truncation cannot pass for it.
  void end_writing() override {
    std::error_code ignored;
    socket_->next_layer().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }
  void close() override {
    std::error_code ignored;
    socket_->next_layer().close(ignored);
  }
  [[nodiscard]] std::string explain(const std::error_code& error) const override {
    return explain_tls(error);
  }

 private:
  std::shared_ptr<IoCore> io_;
  std::shared_ptr<TlsContext> context_;
  std::unique_ptr<SslSocket> socket_;
};

class Handshake final : public Abortable, public std::enable_shared_from_this<Handshake> {
 public:
  Handshake(std::shared_ptr<IoCore> io, std::shared_ptr<TlsContext> context,
            asio::ip::tcp::socket socket, std::string remote, WhoIs who_is, OnTls done)
      : io_(std::move(io)),
        context_(std::move(context)),
        socket_(std::make_unique<SslSocket>(std::move(socket), context_->context)),
        remote_(std::move(remote)),
        done_(std::move(done)),
        timer_(io_->context()) {
    verification_.who_is = std::move(who_is);
    SSL_set_ex_data(socket_->native_handle(), verification_index(), &verification_);
  }

  void start(std::chrono::milliseconds time_max) {
    timer_.expires_after(time_max);
    timer_.async_wait([self = shared_from_this()](std::error_code error) {
      if (error) return;
      self->timed_out_ = true;
      self->abort();
    });
    const auto role = context_->side == TlsSide::client ? asio::ssl::stream_base::client
                                                        : asio::ssl::stream_base::server;
    socket_->async_handshake(
        role, [self = shared_from_this()](std::error_code error) { self->finish(error); });
  }

  void abort() override {
    std::error_code ignored;
    if (socket_) socket_->next_layer().close(ignored);
  }

 private:
  void finish(const std::error_code& error) {
    timer_.cancel();
    OnTls done = std::exchange(done_, nullptr);
    if (error) {
      std::string why = timed_out_                      ? "no TLS handshake in time"
                        : verification_.problem.empty() ? explain_tls(error)
                                                        : verification_.problem;
      const ErrorCode code = timed_out_ ? ErrorCode::timeout
                             : verification_.problem.empty() && !is_alert(error)
                                 ? ErrorCode::closed
                                 : ErrorCode::untrusted;
      done(fail(code, "peer " + remote_ + ": " + why, Remedy::reconnect));
      return;
    }
    SSL_set_ex_data(socket_->native_handle(), verification_index(), nullptr);
    done(TlsPeer{std::make_unique<TlsStream>(io_, context_, std::move(socket_)),
                 verification_.node});
  }

  std::shared_ptr<IoCore> io_;
  std::shared_ptr<TlsContext> context_;
  std::unique_ptr<SslSocket> socket_;
  std::string remote_;
  OnTls done_;
  asio::steady_timer timer_;
  Verification verification_;
  bool timed_out_ = false;
};

}  // namespace

Result<std::shared_ptr<TlsContext>> TlsContext::make(const Identity& identity, TlsSide side) {
  auto out = std::make_shared<TlsContext>(
      TlsContext{asio::ssl::context(side == TlsSide::client ? asio::ssl::context::tls_client
                                                            : asio::ssl::context::tls_server),
                 side});
  SSL_CTX* ctx = out->context.native_handle();
  const PkeyPtr key = read_key(identity.key_pem);
  const X509Ptr certificate = read_certificate(identity.certificate_pem);
  const bool ok = key != nullptr && certificate != nullptr &&
                  SSL_CTX_use_certificate(ctx, certificate.get()) == 1 &&
                  SSL_CTX_use_PrivateKey(ctx, key.get()) == 1 &&
                  SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_num_tickets(ctx, 0) == 1;
  if (!ok) return fail(crypto_error("prepare TLS with this node's identity"));
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(ctx, 16 * 1024);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, verify_pin, nullptr);
  return out;
}

std::shared_ptr<Abortable> start_handshake(const std::shared_ptr<IoCore>& io,
                                           std::shared_ptr<TlsContext> context,
                                           asio::ip::tcp::socket socket, std::string remote,
                                           WhoIs who_is, std::chrono::milliseconds time_max,
                                           OnTls done) {
  auto handshake =
      std::make_shared<Handshake>(io, std::move(context), std::move(socket), std::move(remote),
                                  std::move(who_is), std::move(done));
  io->adopt(handshake);
  handshake->start(time_max);
  return handshake;
}

}  // namespace repl::transport
