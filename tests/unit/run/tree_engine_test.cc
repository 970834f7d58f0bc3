#include "engine/run/tree_engine.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <thread>

namespace repl::run {
namespace {

// A connection that ends between two looks at it, having brought one more message.
class EndingLink final : public Link {
 public:
  bool send(Message, Lane) override { return true; }
  size_t writable(Lane) const override { return 0; }
  bool drained(Lane) const override { return true; }
  std::vector<Message> receive() override {
    const std::lock_guard lock(mutex_);
    if (open_) {
      open_ = false;
      if (ready_) ready_();
      return {};
    }
    return std::exchange(waiting_, {});
  }
  bool open() const override {
    const std::lock_guard lock(mutex_);
    return open_;
  }
  Error close_reason() const override { return make_error(ErrorCode::closed, "lost"); }
  void close(const std::string& reason) override { closed.set_value(reason); }
  void on_ready(std::function<void()> ready) override {
    const std::lock_guard lock(mutex_);
    ready_ = std::move(ready);
  }
  LinkCounters counters() const override { return {}; }
  std::string peer() const override { return {}; }

  std::promise<std::string> closed;

 private:
  mutable std::mutex mutex_;
  bool open_ = true;
  std::vector<Message> waiting_{Hello{.node = "stranger"}};
  std::function<void()> ready_;
};

// A directory for the tree "tree" of node "a".
struct Engine : ::testing::Test {
  std::string dir = "/tmp/repl-engine-XXXXXX";
  std::string root;
  SystemClock clock;
  NullLog log;

  void SetUp() override {
    ASSERT_NE(::mkdtemp(dir.data()), nullptr);
    root = dir + "/root";
    std::filesystem::create_directory(root);
  }
  void TearDown() override { std::filesystem::remove_all(dir); }
  [[nodiscard]] TreeOptions options(std::vector<std::string> nodes) const {
    return {.name = "tree",
            .node = "a",
            .nodes = std::move(nodes),
            .root = root,
            .state_dir = dir + "/state"};
  }
};

TEST_F(Engine, TakesWhatArrivedBeforeTheConnectionEnded) {
  auto engine = TreeEngine::open(options({"a", "b"}), clock, log);
  ASSERT_TRUE(engine) << engine.error().message;
  auto link = std::make_shared<EndingLink>();
  auto closed = link->closed.get_future();
  (*engine)->attach(link);
  std::thread runner([&] { EXPECT_TRUE((*engine)->run()); });
  const bool in_time = closed.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  EXPECT_TRUE(in_time);
  if (in_time) {
    EXPECT_NE(closed.get().find("stranger"), std::string::npos);
  }
  (*engine)->stop();
  runner.join();
}

// What the owner of the link keeps when the engine goes.
class KeptLink final : public Link {
 public:
  bool send(Message, Lane) override { return true; }
  size_t writable(Lane) const override { return 0; }
  bool drained(Lane) const override { return true; }
  std::vector<Message> receive() override { return {}; }
  bool open() const override { return !closed; }
  Error close_reason() const override { return make_error(ErrorCode::closed, "closed"); }
  // As a channel does: that it closed is told to whoever is to be told.
  void close(const std::string&) override {
    closed = true;
    woken_at_close = woken_at_close || ready;
  }
  void on_ready(std::function<void()> call) override { ready = std::move(call); }
  LinkCounters counters() const override { return {}; }
  std::string peer() const override { return "b"; }

  std::atomic<bool> closed = false;
  std::atomic<bool> woken_at_close = false;
  std::function<void()> ready;
};

TEST_F(Engine, NoLinkOutlivesItOpenOrWithAWayBack) {
  const auto taken = std::make_shared<KeptLink>();
  const auto late = std::make_shared<KeptLink>();
  {
    auto engine = TreeEngine::open(options({"a", "b"}), clock, log);
    ASSERT_TRUE(engine) << engine.error().message;
    (*engine)->attach(taken);
    std::thread runner([&] { EXPECT_TRUE((*engine)->run()); });
    std::promise<bool> connected;
    (*engine)->request_facts(
        [&](const TreeFacts& facts) { connected.set_value(facts.peers.at(0).connected); });
    static_cast<void>(connected.get_future().get());
    (*engine)->stop();
    runner.join();
    (*engine)->attach(late);
  }
  for (const auto& link : {taken, late}) {
    EXPECT_TRUE(link->closed);
    EXPECT_FALSE(link->ready);
    EXPECT_FALSE(link->woken_at_close);
  }
}

// Its observer goes on with the ids of the new reign.
TEST_F(Engine, APrimaryThatIsPromotedOnceMoreGoesOn) {
  TreeOptions here = options({"a"});
  here.scan_threads = 0;
  here.sync_on = SyncThread::Where::owner;
  auto engine = TreeEngine::open(std::move(here), clock, log);
  ASSERT_TRUE(engine) << engine.error().message;
  ASSERT_TRUE((*engine)->start());
  TreeFacts facts;
  const auto turns = [&](auto until) {
    for (int i = 0; i < 2'000 && !until(); ++i) {
      (*engine)->request_facts([&](TreeFacts now) { facts = std::move(now); });
      ASSERT_TRUE((*engine)->turn(std::chrono::milliseconds(5)));
    }
    ASSERT_TRUE(until());
  };
  turns([&] { return facts.current && facts.state == "synced"; });
  bool promoted = false;
  (*engine)->request_promote({.force = true},
                             [&](Result<RoleChange> change) { promoted = change.has_value(); });
  turns([&] { return promoted; });
  std::filesystem::create_directories(root + "/x/y");
  turns([&] { return facts.entries >= 2; });
  EXPECT_TRUE((*engine)->finish());
}

}  // namespace
}  // namespace repl::run
