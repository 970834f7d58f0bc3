// peer.h: a channel with someone who waits on it, for tests.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/base/check.h"
#include "transport/io_thread.h"
#include "transport/session.h"

namespace repl::transport {

inline constexpr std::chrono::seconds patience{20};

class Peer {
 public:
  explicit Peer(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {
    channel_->on_ready([this] {
      const std::lock_guard lock(mutex_);
      woken_ = true;
      wake_.notify_all();
    });
  }
  ~Peer() { channel_->on_ready(nullptr); }

  Channel& operator*() { return *channel_; }
  Channel* operator->() { return channel_.get(); }

  // Takes messages until `enough(all of them)` or the channel is closed; false if patience ran out.
  template <typename Enough>
  bool take_until(Enough enough) {
    return wait([&] {
             // RACE: the last messages may arrive, and the connection end, between the two calls;
             // what arrived before the end is there once open() is false.
             const bool open = channel_->open();
             for (Message& message : channel_->receive()) got.push_back(std::move(message));
             return enough() || !open;
           }) &&
           enough();
  }
  bool take(size_t count) {
    return take_until([&] { return got.size() >= count; });
  }
  template <typename Done>
  bool wait(Done done) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (;;) {
      if (done()) return true;
      std::unique_lock lock(mutex_);
      if (!wake_.wait_until(lock, deadline, [&] { return woken_; })) return false;
      woken_ = false;
    }
  }
  bool wait_closed() {
    return wait([&] { return !channel_->open(); });
  }
  // Sends on the bulk lane, waiting for room.
  bool push(const Message& message) {
    return wait([&] { return !channel_->open() || channel_->send(message, Lane::bulk); }) &&
           channel_->open();
  }

  std::vector<Message> got;

 private:
  std::shared_ptr<Channel> channel_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
};

struct SocketPair {
  Fd left;
  Fd right;
};
inline SocketPair make_socket_pair() {
  int fds[2];
  REPL_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  return {Fd(fds[0]), Fd(fds[1])};
}
inline std::shared_ptr<Channel> channel_over(IoThread& io, Fd socket,
                                             const SessionOptions& options) {
  Fd twin(::dup(socket.get()));
  auto channel = make_stdio_channel(io, std::move(socket), std::move(twin), options);
  REPL_CHECK(channel.has_value());
  return *channel;
}

}  // namespace repl::transport
