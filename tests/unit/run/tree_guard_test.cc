// The guard as the engine moves it, with writers in processes of their own.
#include "engine/run/tree_guard.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "engine/base/limits.h"
#include "engine/run/tree_engine.h"
#include "tests/unit/io/child.h"
#include "tests/unit/io/scratch.h"

namespace repl::run {
namespace {

using test::Child;
using test::open_to_write;
using test::try_write;

class SetClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime now() const override { return at; }
  [[nodiscard]] int64_t wall_ns() const override { return 0; }
  MonotonicTime at{};
};

class TreeGuardTest : public testing::Test {
 protected:
  void SetUp() override {
    test::enter_private_mounts();
    ASSERT_TRUE(io::make_dir(dir_.fd(), "tree", 0755));
  }
  void TearDown() override { ::umount2(root().c_str(), MNT_DETACH); }
  [[nodiscard]] std::string root() const { return dir_.path("tree"); }
  [[nodiscard]] std::string file() const { return root() + "/file"; }

  test::ScratchDir dir_;
  NullLog log_;
};

TEST_F(TreeGuardTest, IsOffUntilItIsOpened) {
  SetClock clock;
  TreeGuard guard(clock, log_);
  guard.want(true);
  EXPECT_EQ(guard.state(), "off");
  EXPECT_FALSE(guard.seen());
  EXPECT_TRUE(guard.close_now(false));
  EXPECT_EQ(guard.deadline(), std::nullopt);
}

TEST_F(TreeGuardTest, IsTriedAgainUntilNobodyIsInTheWay) {
  SetClock clock;
  TreeGuard guard(clock, log_);
  ASSERT_TRUE(guard.open("t", root()));
  EXPECT_EQ(guard.state(), "writable");
  auto writer = std::make_unique<Child>([&] { return open_to_write(file()) >= 0; });
  ASSERT_TRUE(writer->began());
  guard.want(true);
  EXPECT_EQ(guard.state(), "writable");
  EXPECT_TRUE(guard.fault().starts_with("pid " + std::to_string(writer->pid()) + " ("))
      << guard.fault();
  EXPECT_NE(guard.fault().find(file() + " open for writing"), std::string::npos) << guard.fault();
  ASSERT_TRUE(guard.deadline());
  writer.reset();
  guard.step();
  EXPECT_EQ(guard.state(), "writable") << "it is not time yet";
  clock.at = *guard.deadline();
  guard.step();
  EXPECT_EQ(guard.state(), "read-only");
  EXPECT_EQ(guard.fault(), "");
  EXPECT_EQ(guard.deadline(), std::nullopt);
  guard.want(false);
  EXPECT_EQ(guard.state(), "writable");
}

TEST_F(TreeGuardTest, ASwitchoverClosesItAtOnceOrNotAtAll) {
  SetClock clock;
  TreeGuard guard(clock, log_);
  const Child older([&] { return open_to_write(file()) >= 0; });
  ASSERT_TRUE(older.began() && guard.open("t", root()));
  {
    const Child writer([&] { return open_to_write(file()) >= 0; });
    ASSERT_TRUE(writer.began());
    const Status closed = guard.close_now(true);
    ASSERT_FALSE(closed);
    EXPECT_NE(closed.error().message.find("pid " + std::to_string(writer.pid())),
              std::string::npos);
    EXPECT_EQ(guard.deadline(), std::nullopt) << "whoever asked decides what follows";
  }
  const Status closed = guard.close_now(false);
  ASSERT_FALSE(closed);
  EXPECT_NE(closed.error().message.find("does not reach pid " + std::to_string(older.pid())),
            std::string::npos)
      << closed.error().message;
  EXPECT_NE(closed.error().message.find("--unguarded"), std::string::npos);
  guard.want(false);
  EXPECT_EQ(guard.state(), "writable");
  EXPECT_TRUE(guard.close_now(true));
  EXPECT_EQ(guard.state(), "read-only");
}

// A lone node of two, whose role is moved by command; `writes` is what on_promote could do.
class Lone {
 public:
  Lone(const std::string& root, const std::string& state_dir, Log& log) {
    auto opened = TreeEngine::open(
        {.name = "tree",
         .node = "a",
         .nodes = {"a", "b"},
         .root = root,
         .state_dir = state_dir,
         .guard = true,
         .run_hook =
             [this, root](const TreeEvent&, const std::function<void(const Status&)>& done) {
               writes.push_back(try_write(root + "/by-hook"));
               done({});
             }},
        clock_, log);
    EXPECT_TRUE(opened) << opened.error().message;
    engine_ = std::move(*opened);
    runner_ = std::thread([this] { EXPECT_TRUE(engine_->run()); });
  }
  ~Lone() {
    engine_->stop();
    runner_.join();
  }
  void promote() {
    std::promise<bool> done;
    // The first tries come while it scans.
    engine_->request_promote({.force = true}, [&](const Result<RoleChange>& change) {
      done.set_value(change.has_value());
    });
    if (done.get_future().get()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    promote();
  }
  void demote() {
    std::promise<bool> done;
    engine_->request_demote(
        false, [&](const Result<RoleChange>& change) { done.set_value(change.has_value()); });
    EXPECT_TRUE(done.get_future().get());
  }
  std::string guard() {
    std::promise<std::string> told;
    engine_->request_facts([&](const TreeFacts& facts) { told.set_value(facts.guard); });
    return told.get_future().get();
  }
  std::vector<int> writes;  // the engine's thread; read once it has answered

 private:
  SystemClock clock_;
  std::unique_ptr<TreeEngine> engine_;
  std::thread runner_;
};

TEST_F(TreeGuardTest, FollowsTheRoleAndIsOpenBeforeTheHook) {
  {
    Lone node(root(), dir_.path("state"), log_);
    EXPECT_EQ(node.guard(), "writable") << "it has no role yet";
    node.promote();
    EXPECT_EQ(node.guard(), "writable");
    node.demote();
    EXPECT_EQ(node.guard(), "read-only");
    EXPECT_EQ(try_write(file()), EROFS);
    node.promote();
    EXPECT_EQ(node.guard(), "writable");
    EXPECT_EQ(node.writes, (std::vector<int>{0, 0}));
    node.demote();
  }
  EXPECT_EQ(try_write(file()), EROFS) << "it stays when the engine ends";
  Lone again(root(), dir_.path("state"), log_);
  EXPECT_EQ(again.guard(), "read-only");
}

}  // namespace
}  // namespace repl::run
