#include "transport/session.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/time.h>

#include <algorithm>
#include <future>

#include "engine/base/bytes.h"
#include "tests/unit/transport/peer.h"
#include "tests/unit/transport/random_message.h"
#include "transport/fd_stream.h"
#include "transport/frame.h"
#include "transport/io_core.h"
#include "transport/session_core.h"

namespace repl::transport {
namespace {

using namespace std::chrono_literals;

class Session : public ::testing::Test {
 protected:
  SessionOptions options(const std::string& name) {
    return {.peer_name = name, .clock = clock, .log = log};
  }
  SessionOptions hasty(const std::string& name) {
    return {.peer_name = name,
            .clock = clock,
            .log = log,
            .times = {.heartbeat = 40ms,
                      .silent_max = 200ms,
                      .handshake_max = 200ms,
                      .close_flush_max = 300ms}};
  }
  // Small enough never to leave in pieces.
  static constexpr size_t chunk_bytes = limits::write_bytes_min;
  StageData chunk(uint64_t offset, char fill) {
    return {StageId{{1, 1}}, offset, std::string(chunk_bytes, fill)};
  }
  // Sends what the first credit of the lane allows and one chunk more, while nobody takes it.
  // Returns how many chunks that is.
  size_t exhaust(Peer& peer, Lane lane) {
    uint64_t count = 0;
    for (size_t cost = 0; cost <= limits::credit_bytes_initial; ++count) {
      cost += frame_cost(encode_message(chunk(count, 'x'))->size());
      EXPECT_TRUE(peer.wait([&] { return peer->send(chunk(count, 'x'), lane); }));
    }
    return count;
  }
  void expect_reason(Channel& channel, const std::string& text) {
    EXPECT_NE(channel.close_reason().message.find(text), std::string::npos)
        << channel.close_reason().message;
  }
  SystemClock clock;
  NullLog log;
  IoThread io;
};

TEST_F(Session, CarriesEveryMessageBothWays) {
  auto sockets = make_socket_pair();
  Peer left(channel_over(io, std::move(sockets.left), options("right")));
  Peer right(channel_over(io, std::move(sockets.right), options("left")));
  std::mt19937_64 rng(5);
  for (size_t kind = 0; kind < std::variant_size_v<Message>; ++kind) {
    ASSERT_TRUE(left->send(random_message(kind, rng), Lane::prompt));
    ASSERT_TRUE(right->send(random_message(kind, rng), Lane::bulk));
  }
  ASSERT_TRUE(left.take(std::variant_size_v<Message>));
  ASSERT_TRUE(right.take(std::variant_size_v<Message>));
  for (size_t kind = 0; kind < std::variant_size_v<Message>; ++kind) {
    EXPECT_EQ(left.got[kind].index(), kind);
    EXPECT_EQ(right.got[kind].index(), kind);
  }
  EXPECT_EQ(left->counters().messages_out, std::variant_size_v<Message>);
  EXPECT_EQ(right->counters().messages_in, std::variant_size_v<Message>);
}

// What a listener and a dial do: the session begins on the I/O thread, whose own posts Asio holds
// back until the handler under way has ended, so that the owner's first send may be first in the
// queue.
TEST_F(Session, TheBannerLeavesBeforeWhatIsSentAtOnce) {
  auto sockets = make_socket_pair();
  std::shared_ptr<Channel> channel;
  std::promise<void> begun;
  io.core()->post([&] {
    channel = channel_over(io, std::move(sockets.left), options("right"));
    std::thread([&] { EXPECT_TRUE(channel->send(VerifyRequest{.id = 42}, Lane::prompt)); }).join();
    begun.set_value();
  });
  begun.get_future().wait();
  Peer right(channel_over(io, std::move(sockets.right), options("left")));
  ASSERT_TRUE(right.take(1)) << right->close_reason().message;
  EXPECT_EQ(std::get<VerifyRequest>(right.got[0]).id, 42u);
}

TEST_F(Session, ClosedAtOnceItStillEndsInTime) {
  auto sockets = make_socket_pair();
  std::promise<void> begun;
  io.core()->post([&] {
    auto channel = channel_over(io, std::move(sockets.left), hasty("right"));
    std::thread([&] { channel->close("changed its mind"); }).join();
    begun.set_value();
  });
  begun.get_future().wait();
  // The peer reads and never closes: our end has to go by itself.
  std::string got(4096, '\0');
  size_t used = 0;
  for (;;) {
    const ssize_t bytes = ::read(sockets.right.get(), got.data() + used, got.size() - used);
    ASSERT_GE(bytes, 0);
    if (bytes == 0) break;
    used += static_cast<size_t>(bytes);
  }
  EXPECT_EQ(got.rfind("repl/", 0), 0u);
  pollfd gone{.fd = sockets.right.get(), .events = POLLHUP};
  EXPECT_EQ(::poll(&gone, 1, 5000), 1);
}

TEST_F(Session, WhatEndsWhileItIsClosedIsLetGo) {
  auto sockets = make_socket_pair();
  SessionOptions patient = options("right");
  patient.times.close_flush_max = 1h;
  std::promise<std::weak_ptr<SessionCore>> made;
  io.core()->post([&] {
    Fd twin(::dup(sockets.left.get()));
    auto stream = make_fd_stream(io.core(), std::move(sockets.left), std::move(twin));
    auto session = std::make_shared<SessionCore>(io.core(), std::move(*stream), patient);
    session->start();
    session->close("enough");
    session->abort();
    made.set_value(session);
  });
  const auto session = made.get_future().get();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!session.expired() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(session.expired());
}

TEST_F(Session, LargeDataInBothDirectionsAtOnce) {
  auto sockets = make_socket_pair();
  Peer left(channel_over(io, std::move(sockets.left), options("right")));
  Peer right(channel_over(io, std::move(sockets.right), options("left")));
  constexpr size_t chunks = 3000;  // 50 MB each way: many times the credit
  const auto work = [&](Peer& peer) {
    size_t sent = 0;
    return peer.wait([&] {
      while (sent < chunks && peer->send(chunk(sent, static_cast<char>(sent)), Lane::bulk)) ++sent;
      for (Message& message : peer->receive()) {
        const auto& data = std::get<StageData>(message);
        if (data.offset != peer.got.size()) return true;
        peer.got.emplace_back(StageAbort{data.stage});
      }
      return !peer->open() || (sent == chunks && peer.got.size() == chunks);
    });
  };
  bool left_done = false;
  std::thread other([&] { left_done = work(left); });
  EXPECT_TRUE(work(right));
  other.join();
  EXPECT_TRUE(left_done);
  EXPECT_EQ(left.got.size(), chunks);
  EXPECT_EQ(right.got.size(), chunks);
}

TEST_F(Session, CreditStopsBulkWhilePromptFlows) {
  auto sockets = make_socket_pair();
  Peer left(channel_over(io, std::move(sockets.left), options("right")));
  Peer right(channel_over(io, std::move(sockets.right), options("left")));
  const size_t taken = exhaust(left, Lane::bulk);
  EXPECT_EQ(left->writable(Lane::bulk), 0u);
  ASSERT_TRUE(left->send(VerifyRequest{.id = 42}, Lane::prompt));
  // The owner of the right side takes nothing of the bulk until it has seen the prompt message
  // arrive.
  ASSERT_TRUE(right.wait([&] { return right->counters().messages_in >= 2; }));
  ASSERT_TRUE(right.take_until([&] { return right.got.size() == taken + 1; }));
  EXPECT_TRUE(
      left.wait([&] { return left->writable(Lane::bulk) >= limits::message_bytes_target; }));
  EXPECT_TRUE(left->send(chunk(taken, 'y'), Lane::bulk));
}

TEST_F(Session, EachLaneHasCreditOfItsOwn) {
  auto sockets = make_socket_pair();
  Peer left(channel_over(io, std::move(sockets.left), options("right")));
  Peer right(channel_over(io, std::move(sockets.right), options("left")));
  const size_t taken = exhaust(left, Lane::background);
  EXPECT_EQ(left->writable(Lane::background), 0u);
  ASSERT_TRUE(left->send(CutBegin{}, Lane::bulk)) << "a cut waits for no background credit";
  // The cut, and all that has credit: the last chunk exceeds it.
  ASSERT_TRUE(right.wait([&] { return right->counters().messages_in == taken; }));
  EXPECT_EQ(left->writable(Lane::background), 0u) << "the owner of the right side took nothing";
  EXPECT_GT(left->writable(Lane::bulk), 0u);
  ASSERT_TRUE(right.take(taken + 1));
  EXPECT_TRUE(
      left.wait([&] { return left->writable(Lane::background) >= limits::message_bytes_target; }));
}

// Nobody takes anything at first: the window stays. An owner that keeps up while the peer waits for
// credit makes it grow, so that a long link is filled.
TEST_F(Session, TheWindowGrowsForAPeerThatWaitsForCreditOnly) {
  auto sockets = make_socket_pair();
  Peer left(channel_over(io, std::move(sockets.left), options("right")));
  Peer right(channel_over(io, std::move(sockets.right), options("left")));
  const size_t first = exhaust(left, Lane::bulk);
  ASSERT_TRUE(right.wait([&] { return right->counters().messages_in == first - 1; }));
  EXPECT_EQ(left->writable(Lane::bulk), 0u) << "nothing was taken";
  ASSERT_TRUE(right.take(first));
  ASSERT_TRUE(left.wait([&] { return left->drained(Lane::bulk); }));

  // A peer of which the link shows nothing: it says that it is blocked while all was taken.
  auto wire = make_socket_pair();
  Peer owner(channel_over(io, std::move(wire.left), options("mgmt2")));
  FrameWriter writer(Compression{});
  writer.add(Payload{4, std::string(1, '\1'), {}, 0}, 0);
  const std::string said = "repl/1 x\n" + std::string(writer.finish());
  ASSERT_EQ(::write(wire.right.get(), said.data(), said.size()), static_cast<ssize_t>(said.size()));
  std::vector<std::pair<uint64_t, Lane>> credits;
  FrameReader reader([&](const FrameHeader& header, std::string_view body, std::string_view) {
    if (header.kind != 1) return Status{};
    ByteReader in(body);
    const uint64_t bytes = in.u64();
    credits.emplace_back(bytes, static_cast<Lane>(in.u8()));
    return Status{};
  });
  BannerReader banner;
  bool greeted = false;
  std::string buffer(4096, '\0');
  while (credits.empty()) {
    const ssize_t got = ::read(wire.right.get(), buffer.data(), buffer.size());
    ASSERT_GT(got, 0);
    std::string_view bytes(buffer.data(), static_cast<size_t>(got));
    if (!greeted) greeted = *banner.feed(bytes);
    if (greeted) {
      ASSERT_TRUE(reader.feed(bytes));
    }
  }
  EXPECT_EQ(credits[0], std::pair(uint64_t{limits::credit_bytes_initial}, Lane::bulk));
}

TEST_F(Session, BulkOvertakesBackgroundUntilThatIsDrained) {
  auto sockets = make_socket_pair();
  SessionOptions slow = options("right");
  slow.bandwidth_bytes_per_s = 2'000'000;
  slow.compress = false;
  Peer left(channel_over(io, std::move(sockets.left), slow));
  Peer right(channel_over(io, std::move(sockets.right), options("left")));
  for (uint64_t i = 0; i < 60; ++i) ASSERT_TRUE(left->send(chunk(i, 'x'), Lane::background));
  ASSERT_TRUE(left->send(CutBegin{}, Lane::bulk));
  EXPECT_FALSE(left->drained(Lane::background));
  // Nothing is taken from this side: what wakes it is that the lane has drained.
  ASSERT_TRUE(left.wait([&] { return left->drained(Lane::background); }));
  ASSERT_TRUE(left->send(CutEnd{}, Lane::bulk));
  ASSERT_TRUE(right.take(62));
  const auto cut = std::ranges::find_if(
      right.got, [](const Message& m) { return std::holds_alternative<CutBegin>(m); });
  EXPECT_LT(cut - right.got.begin(), 30) << "the cut did not overtake";
  EXPECT_TRUE(std::holds_alternative<CutEnd>(right.got.back())) << "overtook what was drained";
}

TEST_F(Session, PromptOvertakesBulk) {
  auto sockets = make_socket_pair();
  SessionOptions slow = options("right");
  slow.bandwidth_bytes_per_s = 2'000'000;
  slow.compress = false;
  Peer left(channel_over(io, std::move(sockets.left), slow));
  Peer right(channel_over(io, std::move(sockets.right), options("left")));
  for (uint64_t i = 0; i < 60; ++i) ASSERT_TRUE(left->send(chunk(i, 'x'), Lane::bulk));
  ASSERT_TRUE(left->send(VerifyRequest{.id = 42}, Lane::prompt));
  ASSERT_TRUE(right.take_until([&] {
    return std::ranges::any_of(
        right.got, [](const Message& m) { return std::holds_alternative<VerifyRequest>(m); });
  }));
  EXPECT_LT(right.got.size(), 30u);
}

TEST_F(Session, BandwidthIsLimited) {
  auto sockets = make_socket_pair();
  SessionOptions slow = options("right");
  slow.bandwidth_bytes_per_s = 4'000'000;
  slow.compress = false;
  Peer left(channel_over(io, std::move(sockets.left), slow));
  Peer right(channel_over(io, std::move(sockets.right), options("left")));
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < 180; ++i) ASSERT_TRUE(left.push(chunk(i, 'x')));
  ASSERT_TRUE(right.take(180));  // 3 MB; the last frame leaves when all before it are paid for
  EXPECT_GE(std::chrono::steady_clock::now() - start, 500ms);
}

TEST_F(Session, CompressesHarderWhereTheLinkIsTheLimitUntilItRests) {
  auto sockets = make_socket_pair();
  SessionOptions slow = hasty("right");
  slow.bandwidth_bytes_per_s = 500'000;
  slow.times.silent_max = 20s;
  slow.times.zstd_rest = 200ms;
  Peer left(channel_over(io, std::move(sockets.left), slow));
  SessionOptions other = hasty("left");
  other.times.silent_max = 20s;
  Peer right(channel_over(io, std::move(sockets.right), other));
  EXPECT_EQ(left->counters().zstd_level, 1);
  EXPECT_EQ(left->counters().bottleneck, Bottleneck::none);
  std::mt19937_64 rng(9);
  uint64_t sent = 0;
  bool told = false;  // while it goes on, not some time later
  while (left->counters().zstd_level == 1 || !told) {
    ASSERT_LT(sent, 5'000u);
    StageData text = chunk(sent, 'x');
    for (char& c : text.bytes) c = "etaoin shrdlu"[rng() % 13];
    ASSERT_TRUE(left.push(text));
    ++sent;
    told |= left->counters().bottleneck == Bottleneck::link;
  }
  ASSERT_TRUE(right.take(sent));
  // Heartbeats alone wake nobody, so this side looks.
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (left->counters().zstd_level != 1 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(left->counters().zstd_level, 1);
  EXPECT_EQ(left->counters().bottleneck, Bottleneck::none);
  ASSERT_TRUE(left->send(CutBegin{}, Lane::bulk));
  ASSERT_TRUE(right.take(sent + 1)) << "the stream after the rest cannot be read";
}

TEST_F(Session, CloseSendsWhatIsQueuedAndSaysWhy) {
  auto sockets = make_socket_pair();
  Peer left(channel_over(io, std::move(sockets.left), options("mgmt2")));
  Peer right(channel_over(io, std::move(sockets.right), options("mgmt1")));
  for (uint64_t i = 0; i < 30; ++i) ASSERT_TRUE(left->send(chunk(i, 'x'), Lane::bulk));
  left->close("config\nreloaded");
  EXPECT_FALSE(left->open());
  EXPECT_FALSE(left->send(Bye{}, Lane::prompt));
  ASSERT_TRUE(right.take(30));
  ASSERT_TRUE(right.wait_closed());
  expect_reason(*right, "peer mgmt1: closed the connection: config\\x0areloaded");
  expect_reason(*left, "mgmt2");
}

TEST_F(Session, LosingThePeerMidTransferNamesIt) {
  auto sockets = make_socket_pair();
  Peer left(channel_over(io, std::move(sockets.left), options("mgmt2")));
  {
    IoThread doomed;
    Peer right(channel_over(doomed, std::move(sockets.right), options("mgmt1")));
    for (uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(left->send(chunk(i, 'x'), Lane::bulk));
    ASSERT_TRUE(right.take(1));
  }
  ASSERT_TRUE(left.wait_closed());
  expect_reason(*left, "peer mgmt2");
}

TEST_F(Session, DroppingTheChannelClosesIt) {
  auto sockets = make_socket_pair();
  Peer left(channel_over(io, std::move(sockets.left), options("mgmt2")));
  auto right = channel_over(io, std::move(sockets.right), options("mgmt1"));
  right.reset();
  ASSERT_TRUE(left.wait_closed());
  expect_reason(*left, "let go");
}

TEST_F(Session, AChannelMayOutliveItsThread) {
  auto sockets = make_socket_pair();
  std::shared_ptr<Channel> channel;
  {
    IoThread brief;
    channel = channel_over(brief, std::move(sockets.left), options("mgmt2"));
  }
  EXPECT_FALSE(channel->open());
  EXPECT_FALSE(channel->send(Bye{}, Lane::prompt));
  channel->close("again");
  expect_reason(*channel, "shutting down");
}

TEST_F(Session, ASilentPeerIsTakenForDead) {
  auto sockets = make_socket_pair();
  Peer left(channel_over(io, std::move(sockets.left), hasty("mgmt2")));
  const std::string banner = "repl/1 test\n";
  ASSERT_EQ(::write(sockets.right.get(), banner.data(), banner.size()),
            static_cast<ssize_t>(banner.size()));
  ASSERT_TRUE(left.wait_closed());
  EXPECT_EQ(left->close_reason().code, ErrorCode::timeout);
  expect_reason(*left, "peer mgmt2: was silent");
}

TEST_F(Session, HeartbeatsKeepAnIdlePairAlive) {
  auto sockets = make_socket_pair();
  Peer left(channel_over(io, std::move(sockets.left), hasty("mgmt2")));
  Peer right(channel_over(io, std::move(sockets.right), hasty("mgmt1")));
  std::this_thread::sleep_for(700ms);
  EXPECT_TRUE(left->open()) << left->close_reason().message;
  EXPECT_TRUE(right->open()) << right->close_reason().message;
}

TEST_F(Session, RefusesOtherVersionsNoiseAndSilence) {
  const auto reason_after = [&](const std::string& text) {
    auto sockets = make_socket_pair();
    Peer left(channel_over(io, std::move(sockets.left), hasty("mgmt2")));
    EXPECT_EQ(::write(sockets.right.get(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
    EXPECT_TRUE(left.wait_closed());
    return left->close_reason();
  };
  EXPECT_EQ(reason_after("repl/2 future\n").code, ErrorCode::unsupported);
  EXPECT_EQ(reason_after("SSH-2.0-OpenSSH\r\n").code, ErrorCode::protocol);
  EXPECT_EQ(reason_after("").code, ErrorCode::timeout);
  EXPECT_EQ(reason_after("repl/1 x\n" + std::string(64, '\xff')).code, ErrorCode::protocol);
}

TEST_F(Session, RefusesMoreThanCreditAndCreditForNothing) {
  const auto credit = [](uint64_t bytes, Lane lane) {
    std::string body;
    ByteWriter out(body);
    out.u64(bytes);
    out.u8(static_cast<uint8_t>(lane));
    return body;
  };
  const auto reason_after = [&](const auto& fill) {
    auto sockets = make_socket_pair();
    Peer left(channel_over(io, std::move(sockets.left), options("mgmt2")));
    FrameWriter writer(gears[gear_initial].compression);
    std::string wire = "repl/1 x\n";
    fill(writer);
    wire += writer.finish();
    std::thread feeder([&] {
      const timeval patience_write{5, 0};
      ::setsockopt(sockets.right.get(), SOL_SOCKET, SO_SNDTIMEO, &patience_write,
                   sizeof patience_write);
      for (size_t at = 0; at < wire.size();) {
        const ssize_t n =
            ::send(sockets.right.get(), wire.data() + at, wire.size() - at, MSG_NOSIGNAL);
        if (n <= 0) break;
        at += static_cast<size_t>(n);
      }
    });
    EXPECT_TRUE(left.wait_closed());
    feeder.join();
    return left->close_reason();
  };
  EXPECT_EQ(reason_after([&](FrameWriter& writer) {
              for (uint64_t i = 0; i < 520; ++i) writer.add(*encode_message(chunk(i, 'x')), 1);
            }).code,
            ErrorCode::protocol);
  EXPECT_EQ(reason_after([&](FrameWriter& writer) {
              for (uint64_t i = 0; i < 520; ++i) writer.add(*encode_message(chunk(i, 'x')), 2);
            }).code,
            ErrorCode::protocol);
  EXPECT_EQ(reason_after([&](FrameWriter& writer) {
              writer.add(Payload{1, credit(limits::credit_bytes_max, Lane::bulk), {}, 0}, 0);
            }).code,
            ErrorCode::protocol);
  EXPECT_EQ(reason_after([&](FrameWriter& writer) {
              writer.add(Payload{1, credit(1, Lane::prompt), {}, 0}, 0);
            }).code,
            ErrorCode::protocol);
}

TEST(MemoryPair, SpeaksLikeAWire) {
  for (const bool through_codec : {false, true}) {
    auto pair = make_memory_pair(through_codec);
    Peer left(pair.left);
    Peer right(pair.right);
    ASSERT_TRUE(left->send(VerifyRequest{.id = 7}, Lane::prompt));
    ASSERT_TRUE(right.take(1));
    EXPECT_EQ(std::get<VerifyRequest>(right.got[0]).id, 7u);
    size_t sent = 0;
    while (left->send(StageData{StageId{{1, 1}}, sent, std::string(100'000, 'x')}, Lane::bulk))
      ++sent;
    EXPECT_EQ(left->writable(Lane::bulk), 0u);
    EXPECT_TRUE(left->send(Bye{}, Lane::prompt));
    ASSERT_TRUE(right.take(sent + 1));
    EXPECT_TRUE(left.wait([&] { return left->writable(Lane::bulk) > 0; }));
    right->close("enough");
    EXPECT_TRUE(left.wait_closed());
    EXPECT_FALSE(left->send(Bye{}, Lane::prompt));
    EXPECT_NE(left->close_reason().message.find("enough"), std::string::npos);
  }
  auto strict = make_memory_pair(true);
  EXPECT_FALSE(strict.left->send(AskKeys{{Key{DirId{1}, ".."}}}, Lane::prompt));
  EXPECT_FALSE(strict.right->open());
}

}  // namespace
}  // namespace repl::transport
