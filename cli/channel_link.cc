#include "cli/channel_link.h"

#include <utility>

namespace repl::cli {

// Whoever else holds the channel: nothing of it calls into a link that is gone.
ChannelLink::~ChannelLink() { channel_->on_ready(nullptr); }

void ChannelLink::on_ready(std::function<void()> ready) {
  channel_->on_ready([this, ready = std::move(ready)] {
    if (!channel_->open()) {
      const std::lock_guard lock(mutex_);
      changed_.notify_all();
    }
    if (ready) ready();
  });
}

run::LinkCounters ChannelLink::counters() const {
  const transport::ChannelCounters from = channel_->counters();
  return run::LinkCounters{.wire_bytes_out = from.wire_bytes_out,
                           .wire_bytes_in = from.wire_bytes_in,
                           .plain_bytes_out = from.plain_bytes_out,
                           .plain_bytes_in = from.plain_bytes_in,
                           .messages_out = from.messages_out,
                           .messages_in = from.messages_in,
                           .zstd_level = from.zstd_level,
                           .zstd_window_bytes = from.zstd_window_bytes,
                           .bottleneck = from.bottleneck};
}

void ChannelLink::wait_closed() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return interrupted_ || !channel_->open(); });
}

void ChannelLink::interrupt() {
  const std::lock_guard lock(mutex_);
  interrupted_ = true;
  changed_.notify_all();
}

}  // namespace repl::cli
