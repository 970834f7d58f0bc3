#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <random>

#include "tests/unit/transport/peer.h"
#include "transport/crypto.h"
#include "transport/dialer.h"
#include "transport/identity.h"
#include "transport/listener.h"

namespace repl::transport {
namespace {

using namespace std::chrono_literals;

class CountingLog final : public Log {
 public:
  void write(LogLevel level, std::string_view) override { warnings += level == LogLevel::warn; }
  [[nodiscard]] bool enabled(LogLevel) const override { return true; }
  std::atomic<int> warnings = 0;
};

class Tls : public ::testing::Test {
 protected:
  Tls() : alice(*generate_identity("alice")), bob(*generate_identity("bob")) {}
  SessionOptions options(const std::string& name) {
    return {
        .peer_name = name, .clock = clock, .log = log, .times = {.handshake_max = handshake_max}};
  }
  void listen(uint64_t bandwidth_bytes_per_s = 0) {
    auto opened = Listener::open(io, bob, "127.0.0.1", 0,
                                 {{"alice", alice.fingerprint, bandwidth_bytes_per_s}}, options(""),
                                 [this](std::shared_ptr<Channel> channel) {
                                   const std::lock_guard lock(mutex);
                                   accepted.push_back(std::move(channel));
                                   arrived.notify_all();
                                 });
    ASSERT_TRUE(opened) << opened.error().message;
    listener = std::move(*opened);
  }
  std::shared_ptr<Channel> next_accepted() {
    std::unique_lock lock(mutex);
    if (!arrived.wait_for(lock, patience, [&] { return !accepted.empty(); })) return nullptr;
    auto channel = accepted.back();
    accepted.pop_back();
    return channel;
  }
  Result<std::shared_ptr<Channel>> dial(const Identity& who, const std::string& pin,
                                        const std::string& host = "127.0.0.1") {
    std::promise<Result<std::shared_ptr<Channel>>> promise;
    auto future = promise.get_future();
    auto attempt = Dial::start(io, who, {host, listener->port(), pin}, options("bob"),
                               [&](auto result) { promise.set_value(std::move(result)); });
    if (!attempt) return fail(attempt.error());
    return future.get();
  }
  Fd raw_connection() {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(listener->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  // A client of its own: whether it got through the handshake and was let stay.
  bool raw_tls(int version_max, const Identity* who) {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, version_max);
    if (who != nullptr) {
      SSL_CTX_use_certificate(context, read_certificate(who->certificate_pem).get());
      SSL_CTX_use_PrivateKey(context, read_key(who->key_pem).get());
    }
    const Fd fd = raw_connection();
    SSL* ssl = SSL_new(context);
    SSL_set_fd(ssl, fd.get());
    char byte = 0;
    const bool in = SSL_connect(ssl) == 1 && SSL_read(ssl, &byte, 1) == 1;
    SSL_free(ssl);
    SSL_CTX_free(context);
    return in;
  }

  std::chrono::milliseconds handshake_max{5000};
  SystemClock clock;
  CountingLog log;
  Identity alice;
  Identity bob;
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<std::shared_ptr<Channel>> accepted;
  IoThread io;
  std::unique_ptr<Listener> listener;
};

TEST_F(Tls, PinnedPeersTalk) {
  listen();
  for (const std::string host : {"127.0.0.1", "localhost"}) {
    auto dialed = dial(alice, bob.fingerprint, host);
    ASSERT_TRUE(dialed) << dialed.error().message;
    Peer client(*dialed);
    Peer server(next_accepted());
    EXPECT_EQ(server->peer(), "alice");
    EXPECT_EQ(client->peer(), "bob");
    ASSERT_TRUE(client->send(VerifyRequest{.id = 3}, Lane::prompt));
    ASSERT_TRUE(server.take(1));
    for (uint64_t i = 0; i < 800; ++i) {
      ASSERT_TRUE(
          server.push(StageData{StageId{{1, 1}}, i, std::string(limits::write_bytes_min, 'x')}));
      for (Message& message : client->receive()) client.got.push_back(std::move(message));
    }
    ASSERT_TRUE(client.take(800));
    server->close("done");
    ASSERT_TRUE(client.wait_closed());
    EXPECT_NE(client->close_reason().message.find("peer bob: closed the connection: done"),
              std::string::npos);
  }
}

TEST_F(Tls, WrongPinIsRefusedByTheDialer) {
  listen();
  auto dialed = dial(alice, alice.fingerprint);
  ASSERT_FALSE(dialed);
  EXPECT_EQ(dialed.error().code, ErrorCode::untrusted);
  EXPECT_NE(dialed.error().message.find(bob.fingerprint), std::string::npos);
}

TEST_F(Tls, AnUnknownPeerIsRefusedByTheListener) {
  listen();
  const Identity mallory = *generate_identity("alice");
  auto dialed = dial(mallory, bob.fingerprint);
  if (dialed) {  // TLS 1.3 ends on the client's side first
    Peer client(*dialed);
    ASSERT_TRUE(client.wait_closed());
    EXPECT_NE(client->close_reason().message.find("peer bob"), std::string::npos);
  }
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(accepted.empty());
}

TEST_F(Tls, WhoAcceptsKeepsToThePeersBandwidth) {
  constexpr uint64_t rate = 256 << 10;
  constexpr uint64_t piece = 16 << 10;
  constexpr uint64_t pieces = 16;
  listen(rate);
  auto dialed = dial(alice, bob.fingerprint);
  ASSERT_TRUE(dialed) << dialed.error().message;
  Peer client(*dialed);
  Peer server(next_accepted());
  std::mt19937 random(1);
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < pieces; ++i) {
    std::string noise(piece, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    ASSERT_TRUE(server.push(StageData{StageId{{1, 1}}, i, std::move(noise)}));
  }
  ASSERT_TRUE(client.take(pieces));
  // Without the limit it takes some milliseconds; with it 1 s, less what may go in one burst.
  EXPECT_GE(std::chrono::steady_clock::now() - began, 500ms);
}

TEST_F(Tls, NoCertificateAndOldVersionsAreRefused) {
  listen();
  EXPECT_TRUE(raw_tls(TLS1_3_VERSION, &alice));
  EXPECT_FALSE(raw_tls(TLS1_3_VERSION, nullptr));
  EXPECT_FALSE(raw_tls(TLS1_2_VERSION, &alice));
}

TEST_F(Tls, SlowHandshakesAreCappedAndTimedOut) {
  handshake_max = 700ms;
  listen();
  std::vector<Fd> idle;
  for (int i = 0; i < limits::connections_unauthenticated_max + 8; ++i)
    idle.push_back(raw_connection());
  char byte = 0;
  // The oldest are closed at once, the others in time.
  for (const Fd& fd : idle) EXPECT_LE(::recv(fd.get(), &byte, 1, 0), 0);
  auto dialed = dial(alice, bob.fingerprint);
  EXPECT_TRUE(dialed);
}

TEST_F(Tls, WhoOnlyHoldsConnectionsKeepsNobodyOut) {
  handshake_max = std::chrono::minutes(5);
  listen();
  std::vector<Fd> idle;
  for (int i = 0; i < 3 * limits::connections_unauthenticated_max; ++i)
    idle.push_back(raw_connection());
  auto dialed = dial(alice, bob.fingerprint);
  ASSERT_TRUE(dialed) << dialed.error().message;
  auto channel = next_accepted();
  ASSERT_NE(channel, nullptr);
  EXPECT_EQ(channel->peer(), "alice");
  EXPECT_LE(log.warnings, 12) << "a flood of connections is a flood of log lines";
}

TEST_F(Tls, DialsEndInEveryState) {
  listen();
  for (int i = 0; i < 30; ++i) {
    auto attempt = Dial::start(io, alice, {"127.0.0.1", listener->port(), bob.fingerprint},
                               options("bob"), [](auto) {});
    ASSERT_TRUE(attempt);
    std::this_thread::sleep_for(std::chrono::microseconds(i * 100));
  }
  handshake_max = 200ms;
  const Fd deaf(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(deaf.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(deaf.get(), 1), 0);
  ASSERT_EQ(::getsockname(deaf.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  std::promise<Error> promise;
  auto attempt =
      Dial::start(io, alice, {"127.0.0.1", ntohs(address.sin_port), bob.fingerprint},
                  options("bob"), [&](auto result) { promise.set_value(result.error()); });
  ASSERT_TRUE(attempt);
  EXPECT_EQ(promise.get_future().get().code, ErrorCode::timeout);
}

class IdentityFiles : public ::testing::Test {
 protected:
  IdentityFiles() {
    char name[] = "/tmp/repl-identity-XXXXXX";
    dir = ::mkdtemp(name);
    key = dir + "/node.key";
    certificate = dir + "/node.pem";
  }
  ~IdentityFiles() override { std::filesystem::remove_all(dir); }
  std::string dir;
  std::string key;
  std::string certificate;
};

TEST_F(IdentityFiles, AreStoredTightAndLoadedAgain) {
  const Identity made = *generate_identity("mgmt1");
  EXPECT_TRUE(is_fingerprint(made.fingerprint)) << made.fingerprint;
  ASSERT_TRUE(store_identity(made, key, certificate));
  struct stat st{};
  ASSERT_EQ(::stat(key.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
  auto loaded = load_identity(key, certificate);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->fingerprint, made.fingerprint);
  EXPECT_FALSE(store_identity(made, key, certificate)) << "never replaced";
}

TEST_F(IdentityFiles, LooseLinkedAndForeignOnesAreRefused) {
  ASSERT_TRUE(store_identity(*generate_identity("mgmt1"), key, certificate));
  ASSERT_EQ(::chmod(key.c_str(), 0640), 0);
  EXPECT_EQ(load_identity(key, certificate).error().code, ErrorCode::untrusted);
  ASSERT_EQ(::chmod(key.c_str(), 0600), 0);
  const std::string link = dir + "/link.key";
  ASSERT_EQ(::symlink(key.c_str(), link.c_str()), 0);
  EXPECT_EQ(load_identity(link, certificate).error().code, ErrorCode::untrusted);
  ASSERT_TRUE(store_identity(*generate_identity("mgmt2"), dir + "/other.key", dir + "/other.pem"));
  EXPECT_EQ(load_identity(key, dir + "/other.pem").error().code, ErrorCode::invalid);
  std::ofstream(dir + "/junk.pem") << "junk";
  EXPECT_FALSE(load_identity(key, dir + "/junk.pem"));
  EXPECT_FALSE(is_fingerprint("sha256:xyz"));
}

}  // namespace
}  // namespace repl::transport
