#include <array>
#include <mutex>
#include <utility>

#include "transport/channel.h"
#include "transport/codec.h"
#include "transport/inbox.h"
#include "transport/outbox.h"

namespace repl::transport {

namespace {

// What both ends share. Each direction: what is on its way to `side`. One lock: simplicity before
// speed here.
struct Shared {
  std::mutex mutex;
  bool open = true;
  Error reason[2];
  std::vector<Message> waiting[2];
  std::array<size_t, 3> lane_bytes[2] = {};  // of waiting, by lane
  ChannelCounters counters[2];
  bool wants_room[2] = {false, false};

  // RACE: as in SessionCore, a callback is called under its own lock so that its owner may go away.
  std::recursive_mutex ready_mutex[2];
  std::function<void()> ready[2];

  void wake(int side) {
    const std::lock_guard lock(ready_mutex[side]);
    if (ready[side]) ready[side]();
  }
};

std::string side_name(int side) { return side == 0 ? "left" : "right"; }

class MemoryChannel final : public Channel {
 public:
  MemoryChannel(std::shared_ptr<Shared> shared, int side, bool through_codec)
      : shared_(std::move(shared)), side_(side), through_codec_(through_codec) {}
  ~MemoryChannel() override {
    on_ready(nullptr);
    close("the other side let go of the connection");
  }
  MemoryChannel(const MemoryChannel&) = delete;
  MemoryChannel& operator=(const MemoryChannel&) = delete;

  bool send(Message message, Lane lane) override;
  [[nodiscard]] size_t writable(Lane lane) const override {
    const std::lock_guard lock(shared_->mutex);
    return room(lane);
  }
  [[nodiscard]] bool drained(Lane) const override { return true; }  // send() delivers
  [[nodiscard]] std::vector<Message> receive() override;
  [[nodiscard]] bool open() const override {
    const std::lock_guard lock(shared_->mutex);
    return shared_->open;
  }
  [[nodiscard]] Error close_reason() const override {
    const std::lock_guard lock(shared_->mutex);
    return shared_->reason[side_];
  }
  void close(const std::string& reason) override;
  void on_ready(std::function<void()> ready) override;
  [[nodiscard]] ChannelCounters counters() const override {
    const std::lock_guard lock(shared_->mutex);
    return shared_->counters[side_];
  }
  [[nodiscard]] std::string peer() const override { return side_name(other()); }

 private:
  [[nodiscard]] int other() const { return 1 - side_; }
  [[nodiscard]] size_t room(Lane lane) const {
    const size_t used = shared_->lane_bytes[other()][static_cast<size_t>(lane)];
    if (!shared_->open || used >= limits::credit_bytes_initial) {
      shared_->wants_room[side_] = true;
      return 0;
    }
    return limits::credit_bytes_initial - used;
  }

  std::shared_ptr<Shared> shared_;
  int side_;
  bool through_codec_;
};

// What a message costs in credit when it is never encoded: its bulky parts.
size_t cost_of(const Message& message) {
  size_t cost = 64;
  if (const auto* data = std::get_if<StageData>(&message)) cost += data->bytes.size();
  if (const auto* records = std::get_if<Records>(&message)) {
    for (const Record& record : records->records) {
      cost += 128;
      const auto* put = std::get_if<Put>(&record);
      const auto* whole = put == nullptr ? nullptr : std::get_if<ContentInline>(&put->content);
      if (whole != nullptr) cost += whole->bytes.size();
    }
  }
  return cost;
}

bool MemoryChannel::send(Message message, Lane lane) {
  size_t cost = 0;
  if (through_codec_) {
    {
      const std::lock_guard lock(shared_->mutex);
      if (!shared_->open || (lane != Lane::prompt && room(lane) == 0)) return false;
    }
    auto payload = encode_message(std::move(message));
    std::string raw;
    if (payload) {
      cost = frame_cost(payload->size());
      for (const std::string& piece : payload->raw) raw += piece;
    }
    auto decoded = payload ? decode_message(payload->kind, payload->body, raw)
                           : Result<Message>(fail(std::move(payload.error())));
    if (!decoded) {
      close(decoded.error().message);
      return false;
    }
    message = std::move(*decoded);
  } else {
    cost = cost_of(message);
  }
  {
    const std::lock_guard lock(shared_->mutex);
    if (!shared_->open || (lane != Lane::prompt && room(lane) == 0)) return false;
    shared_->lane_bytes[other()][static_cast<size_t>(lane)] += cost;
    shared_->waiting[other()].push_back(std::move(message));
    ChannelCounters& mine = shared_->counters[side_];
    ChannelCounters& theirs = shared_->counters[other()];
    ++mine.messages_out;
    mine.plain_bytes_out = mine.wire_bytes_out += cost;
    ++theirs.messages_in;
    theirs.plain_bytes_in = theirs.wire_bytes_in += cost;
  }
  shared_->wake(other());
  return true;
}

std::vector<Message> MemoryChannel::receive() {
  std::vector<Message> messages;
  bool wake = false;
  {
    const std::lock_guard lock(shared_->mutex);
    messages = std::exchange(shared_->waiting[side_], {});
    shared_->lane_bytes[side_] = {};
    wake = std::exchange(shared_->wants_room[other()], false);
  }
  if (wake) shared_->wake(other());
  return messages;
}

void MemoryChannel::close(const std::string& reason) {
  {
    const std::lock_guard lock(shared_->mutex);
    if (!std::exchange(shared_->open, false)) return;
    shared_->reason[side_] = make_error(
        ErrorCode::closed, "connection to " + side_name(other()) + " closed here: " + reason);
    shared_->reason[other()] = make_error(
        ErrorCode::closed, "peer " + side_name(side_) + ": closed the connection: " + reason,
        Remedy::reconnect);
  }
  shared_->wake(0);
  shared_->wake(1);
}

void MemoryChannel::on_ready(std::function<void()> ready) {
  {
    const std::lock_guard lock(shared_->ready_mutex[side_]);
    shared_->ready[side_] = std::move(ready);
  }
  bool pending = false;
  {
    const std::lock_guard lock(shared_->mutex);
    pending = !shared_->open || !shared_->waiting[side_].empty();
  }
  if (pending) shared_->wake(side_);
}

}  // namespace

ChannelPair make_memory_pair(bool through_codec) {
  auto shared = std::make_shared<Shared>();
  return {std::make_shared<MemoryChannel>(shared, 0, through_codec),
          std::make_shared<MemoryChannel>(shared, 1, through_codec)};
}

}  // namespace repl::transport
