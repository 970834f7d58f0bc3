#include "engine/run/verifier.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

namespace repl::run {
namespace {

using Outcome = VerifyAnswer::Outcome;

struct VerifierTest : testing::Test {
  VerifierTest() {
    char name[] = "/tmp/repl-verifier-XXXXXX";
    dir = ::mkdtemp(name);
    std::filesystem::create_directory(dir + "/root");
    auto opened = TreeParts::open({.name = "t",
                                   .node = "a",
                                   .nodes = {"a", "b", "c"},
                                   .root = dir + "/root",
                                   .state_dir = dir + "/state"},
                                  clock, log);
    EXPECT_TRUE(opened) << opened.error().message;
    parts = std::move(*opened);
    Entry root;
    root.attr.type = FileType::directory;
    root.attr.dir = root_dir;
    EXPECT_TRUE(parts->index->put(root_key, root));
    verifier.emplace(*parts,
                     Verifier::Held{.here = [this] { return held; },
                                    .without = [this](const std::string&) { return without; }});
  }
  ~VerifierTest() override {
    verifier.reset();
    parts.reset();
    std::filesystem::remove_all(dir);
  }
  void begin(const VerifyOptions& options, WaitResult waited) {
    verifier->begin(options, {"b", "c"}, WaitAnswer{.result = waited, .detail = "c is away"},
                    [this](VerifyAnswer given) { answer = std::move(given); });
  }
  // Only b is connected.
  void step() {
    static_cast<void>(verifier->step(
        clock.now(), {.ask = [this](const std::string& node, const VerifyRequest& request) {
          if (node == "b") asked = request;
          return node == "b";
        }}));
  }
  VerifyReply reply() {
    VerifyReply reply;
    reply.id = asked->id;
    reply.position = parts->state.position;
    reply.content = parts->index->root_content();
    reply.synced = true;
    return reply;
  }

  SystemClock clock;
  NullLog log;
  std::string dir;
  std::unique_ptr<TreeParts> parts;
  std::optional<Verifier> verifier;
  std::optional<VerifyRequest> asked;
  std::optional<VerifyAnswer> answer;
  std::vector<std::string> held;
  std::optional<Fingerprint> without;
};

TEST_F(VerifierTest, APeerThatIsAwayHidesNoDifference) {
  begin({}, WaitResult::peer_away);
  step();
  ASSERT_TRUE(asked) << "b is there, and not asked";
  VerifyReply different = reply();
  different.mismatches = {"x"};
  verifier->on_reply("b", different);
  step();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->outcome, Outcome::different);
  ASSERT_EQ(answer->peers.size(), 2u);
  EXPECT_EQ(answer->peers[0].outcome, Outcome::different) << answer->peers[0].detail;
  EXPECT_EQ(answer->peers[1].outcome, Outcome::peer_away);
}

TEST_F(VerifierTest, APeerThatIsAwayIsNotEqual) {
  begin({}, WaitResult::peer_away);
  step();
  ASSERT_TRUE(asked);
  verifier->on_reply("b", reply());
  step();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->outcome, Outcome::peer_away);
  EXPECT_EQ(answer->peers[0].outcome, Outcome::equal) << answer->peers[0].detail;
}

TEST_F(VerifierTest, WhoWentAwayEndsIt) {
  bool gone = false;
  VerifyOptions options;
  options.abandoned = [&] { return gone; };
  begin(options, WaitResult::reached);
  step();
  ASSERT_TRUE(asked);
  gone = true;
  step();
  verifier->on_reply("b", reply());
  step();
  EXPECT_FALSE(answer);
}

TEST_F(VerifierTest, EqualIsEqualExceptHeldWhileRemovalsAre) {
  held = {"gone"};
  begin({}, WaitResult::reached);
  step();
  verifier->on_reply("b", reply());
  step();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->peers[0].outcome, Outcome::equal_except_held);
  EXPECT_EQ(answer->peers[0].differences, held);
}

// A peer that never had what is held: its fingerprint is known from a comparison.
TEST_F(VerifierTest, APeerThatLacksOnlyWhatIsHeldIsEqualExceptHeld) {
  held = {"gone"};
  begin({}, WaitResult::reached);
  step();
  VerifyReply lacking = reply();
  lacking.content.low ^= 1;
  without = lacking.content;
  verifier->on_reply("b", lacking);
  step();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->peers[0].outcome, Outcome::equal_except_held) << answer->peers[0].detail;
}

TEST_F(VerifierTest, APeerThatLacksMoreIsDifferent) {
  held = {"gone"};
  begin({}, WaitResult::reached);
  step();
  VerifyReply lacking = reply();
  lacking.content.low ^= 1;
  without = lacking.content;
  lacking.content.low ^= 2;
  verifier->on_reply("b", lacking);
  step();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->peers[0].outcome, Outcome::different);
}

TEST_F(VerifierTest, WhatIsHeldCannotBeProved) {
  held = {"gone"};
  begin({.full = true, .sha256 = true}, WaitResult::reached);
  step();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->peers[0].outcome, Outcome::held);
  EXPECT_EQ(answer->peers[0].differences, held);
}

}  // namespace
}  // namespace repl::run
