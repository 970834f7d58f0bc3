// A peer that takes nothing for a while: changes gather, instead of lying in cuts that wait.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/base/limits.h"
#include "tests/support/engine_pair.h"

namespace repl::test {
namespace {

class StallingLink final : public run::Link {
 public:
  explicit StallingLink(std::shared_ptr<run::Link> inner) : inner_(std::move(inner)) {}
  void stall() { stalled_ = true; }
  void go_on() {
    stalled_ = false;
    std::function<void()> ready;
    {
      const std::lock_guard lock(mutex_);
      ready = ready_;
    }
    if (ready) ready();
  }
  bool send(Message message, Lane lane) override {
    return !stalled_ && inner_->send(std::move(message), lane);
  }
  size_t writable(Lane lane) const override { return stalled_ ? 0 : inner_->writable(lane); }
  bool drained(Lane lane) const override { return inner_->drained(lane); }
  std::vector<Message> receive() override { return inner_->receive(); }
  bool open() const override { return inner_->open(); }
  Error close_reason() const override { return inner_->close_reason(); }
  void close(const std::string& reason) override { inner_->close(reason); }
  void on_ready(std::function<void()> ready) override {
    {
      const std::lock_guard lock(mutex_);
      ready_ = ready;
    }
    inner_->on_ready(std::move(ready));
  }
  run::LinkCounters counters() const override { return inner_->counters(); }
  std::string peer() const override { return inner_->peer(); }

 private:
  std::shared_ptr<run::Link> inner_;
  std::atomic<bool> stalled_ = false;
  std::mutex mutex_;
  std::function<void()> ready_;
};

TEST(BusyPeer, ChangesGatherWhileItTakesNothing) {
  constexpr int files = 300;
  EnginePair pair;
  ASSERT_TRUE(pair.a.start());
  ASSERT_TRUE(pair.b.start());
  transport::ChannelPair ends = transport::make_memory_pair(true);
  const auto link =
      std::make_shared<StallingLink>(std::make_shared<cli::ChannelLink>(std::move(ends.left), "b"));
  pair.a.engine().attach(link);
  pair.b.engine().attach(std::make_shared<cli::ChannelLink>(std::move(ends.right), "a"));
  ASSERT_EQ(pair.settle().result, run::WaitResult::reached);

  link->stall();
  const uint64_t before = pair.a.facts().position.cut.value;
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < files; ++i) {
    std::ofstream(pair.a.options.root + "/f" + std::to_string(i)) << i;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const uint64_t cuts = pair.a.facts().position.cut.value - before;
  const auto held = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - began);
  // What is being sent, those before it, and one for each cut_hold_ms_max.
  EXPECT_LE(cuts, 2 + limits::cuts_ahead_max + held.count() / limits::cut_hold_ms_max);
  EXPECT_GE(cuts, limits::cuts_ahead_max);

  link->go_on();
  ASSERT_EQ(pair.settle().result, run::WaitResult::reached);
  EXPECT_EQ(pair.a.tree(), pair.b.tree());
  EXPECT_EQ(pair.b.tree().size(), files + 1u);
}

}  // namespace
}  // namespace repl::test
