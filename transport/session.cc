#include "transport/session.h"

#include <utility>

#include "transport/io_thread.h"
#include "transport/session_core.h"

namespace repl::transport {

namespace {

class SessionChannel final : public Channel {
 public:
  explicit SessionChannel(std::shared_ptr<SessionCore> core) : core_(std::move(core)) {}
  ~SessionChannel() override {
    core_->on_ready(nullptr);
    core_->close("the other side let go of the connection");
  }
  SessionChannel(const SessionChannel&) = delete;
  SessionChannel& operator=(const SessionChannel&) = delete;

  bool send(Message message, Lane lane) override { return core_->send(std::move(message), lane); }
  [[nodiscard]] size_t writable(Lane lane) const override { return core_->writable(lane); }
  [[nodiscard]] bool drained(Lane lane) const override { return core_->drained(lane); }
  [[nodiscard]] std::vector<Message> receive() override { return core_->receive(); }
  [[nodiscard]] bool open() const override { return core_->open(); }
  [[nodiscard]] Error close_reason() const override { return core_->close_reason(); }
  void close(const std::string& reason) override { core_->close(reason); }
  void on_ready(std::function<void()> ready) override { core_->on_ready(std::move(ready)); }
  [[nodiscard]] ChannelCounters counters() const override { return core_->counters(); }
  [[nodiscard]] std::string peer() const override { return core_->peer(); }

 private:
  std::shared_ptr<SessionCore> core_;
};

}  // namespace

std::shared_ptr<Channel> make_session(IoThread& io, std::unique_ptr<ByteStream> stream,
                                      const SessionOptions& options) {
  return start_session(io.core(), std::move(stream), options);
}

std::shared_ptr<Channel> start_session(const std::shared_ptr<IoCore>& io,
                                       std::unique_ptr<ByteStream> stream,
                                       const SessionOptions& options) {
  auto core = std::make_shared<SessionCore>(io, std::move(stream), options);
  core->start();
  return std::make_shared<SessionChannel>(std::move(core));
}

}  // namespace repl::transport
