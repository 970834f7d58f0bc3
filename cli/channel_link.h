// channel_link.h: transport's Channel as the engine's Link.
//
// Thread: any, as both.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "engine/run/link.h"
#include "transport/channel.h"

namespace repl::cli {

class ChannelLink final : public run::Link {
 public:
  // `peer`: who it is, where the channel does not know (in memory).
  explicit ChannelLink(std::shared_ptr<transport::Channel> channel)
      : channel_(std::move(channel)), peer_(channel_->peer()) {}
  ChannelLink(std::shared_ptr<transport::Channel> channel, std::string peer)
      : channel_(std::move(channel)), peer_(std::move(peer)) {}
  ~ChannelLink() override;
  ChannelLink(const ChannelLink&) = delete;
  ChannelLink& operator=(const ChannelLink&) = delete;

  bool send(Message message, Lane lane) override {
    return channel_->send(std::move(message), lane);
  }
  [[nodiscard]] size_t writable(Lane lane) const override { return channel_->writable(lane); }
  [[nodiscard]] bool drained(Lane lane) const override { return channel_->drained(lane); }
  [[nodiscard]] std::vector<Message> receive() override { return channel_->receive(); }
  [[nodiscard]] bool open() const override { return channel_->open(); }
  [[nodiscard]] Error close_reason() const override { return channel_->close_reason(); }
  void close(const std::string& reason) override { channel_->close(reason); }
  void on_ready(std::function<void()> ready) override;
  [[nodiscard]] run::LinkCounters counters() const override;
  [[nodiscard]] std::string peer() const override { return peer_; }

  // Blocks until the channel has closed or `interrupt()` was called.
  void wait_closed();
  void interrupt();

 private:
  std::shared_ptr<transport::Channel> channel_;
  std::string peer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool interrupted_ = false;
};

}  // namespace repl::cli
