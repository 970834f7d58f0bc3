// What a lone message costs: from send() on one thread to receive() on another, through two
// sessions over TLS on loopback, and back. Reported per direction.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/base/check.h"
#include "transport/dialer.h"
#include "transport/io_thread.h"
#include "transport/listener.h"

namespace repl::transport {
namespace {

// The owner of a channel, asleep until there is something.
class Owner {
 public:
  explicit Owner(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {
    channel_->on_ready([this] {
      const std::lock_guard lock(mutex_);
      woken_ = true;
      wake_.notify_one();
    });
  }
  ~Owner() { channel_->on_ready(nullptr); }
  // Empty: the connection has ended.
  std::vector<Message> next() {
    for (;;) {
      if (auto messages = channel_->receive(); !messages.empty()) return messages;
      if (!channel_->open()) return {};
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return woken_; });
      woken_ = false;
    }
  }
  Channel& operator*() { return *channel_; }

 private:
  std::shared_ptr<Channel> channel_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
};

struct Connection {
  SystemClock clock;
  NullLog log;
  IoThread left_io;
  IoThread right_io;
  std::shared_ptr<Channel> left;
  std::shared_ptr<Channel> right;

  Connection() {
    const Identity alice = *generate_identity("alice");
    const Identity bob = *generate_identity("bob");
    const SessionOptions options{.peer_name = "peer", .clock = clock, .log = log};
    std::promise<std::shared_ptr<Channel>> accepted;
    auto listener =
        Listener::open(right_io, bob, "127.0.0.1", 0, {{"alice", alice.fingerprint}}, options,
                       [&](std::shared_ptr<Channel> channel) { accepted.set_value(channel); });
    REPL_CHECK(listener.has_value());
    std::promise<std::shared_ptr<Channel>> dialed;
    auto dial =
        Dial::start(left_io, alice, {"127.0.0.1", (*listener)->port(), bob.fingerprint}, options,
                    [&](Result<std::shared_ptr<Channel>> result) { dialed.set_value(*result); });
    REPL_CHECK(dial.has_value());
    left = dialed.get_future().get();
    right = accepted.get_future().get();
  }
};

// A small change as it travels: a cut of one inline file. range(0): bytes of the file.
Records lone_change(size_t bytes) {
  Put put{{DirId{17}, "motd"}, {}, ContentInline{std::string(bytes, 'c')}};
  put.attr.type = FileType::regular;
  put.attr.mode = 0644;
  put.attr.size = bytes;
  put.attr.mtime = {1'700'000'000, 123'456'789};
  Records records;
  records.records.emplace_back(std::move(put));
  return records;
}

void lone_message_tls(benchmark::State& state) {
  Connection connection;
  Owner left(connection.left);
  Owner right(connection.right);
  std::thread echo([&] {
    for (auto messages = right.next(); !messages.empty(); messages = right.next()) {
      for (Message& message : messages) (void)(*right).send(std::move(message), Lane::prompt);
    }
  });
  const Records change = lone_change(static_cast<size_t>(state.range(0)));
  std::vector<double> one_way;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    (void)(*left).send(change, Lane::prompt);
    (void)left.next();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    one_way.push_back(took.count() / 2);
    // A lone message is one after some quiet, not one of a stream.
    std::this_thread::sleep_for(std::chrono::microseconds(500));
    state.SetIterationTime(took.count() / 2);
  }
  (*left).close("done");
  echo.join();
  std::ranges::sort(one_way);
  state.counters["p50_us"] = one_way[one_way.size() / 2] * 1e6;
  state.counters["p99_us"] = one_way[one_way.size() * 99 / 100] * 1e6;
}
BENCHMARK(lone_message_tls)->Arg(0)->Arg(1024)->Arg(65536)->Iterations(2000)->UseManualTime();

}  // namespace
}  // namespace repl::transport
