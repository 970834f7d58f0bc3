#include <atomic>
#include <thread>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "tests/unit/cli/scripted_daemon.h"

namespace repl::cli {
namespace {

using Lines = std::vector<std::string>;

class RoleCommandsTest : public ScriptedDaemonTest {
 protected:
  Ran role(bool json = false) {
    return run([&] { return command_role({.global = global_, .tree = "one", .json = json}); });
  }
  Ran role_of(const std::string& result) {
    servers_.clear();
    daemon("one", {{"role", {.result = result}}});
    return role();
  }
};

TEST_F(RoleCommandsTest, RoleIsPrimaryOnlyIfCurrent) {
  Ran ran = role_of(R"({"role":"primary","current":true,"state":"synced","epoch":3,"detail":""})");
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out, "one: primary, epoch 3\n");
  ran = role_of(
      R"({"role":"primary","current":false,"state":"waiting","epoch":3,"detail":"b was not heard"})");
  EXPECT_EQ(ran.exit, 2);
  EXPECT_EQ(ran.out,
            "one: primary, but not known to be current, waiting, epoch 3: b was not heard\n");
  ran = role_of(R"({"role":"secondary","current":true,"state":"synced","epoch":4,"primary":"b"})");
  EXPECT_EQ(ran.exit, 1);
  EXPECT_EQ(ran.out, "one: secondary, synced, epoch 4, the primary is b\n");
  ran = role_of(R"({"role":"none","current":true,"state":"none","epoch":0})");
  EXPECT_EQ(ran.exit, 2);
  EXPECT_EQ(ran.out, "one: neither primary nor secondary, epoch 0\n");
  // What is no role is none, whatever else is said.
  EXPECT_EQ(role_of(R"({"current":true})").exit, 2);
  EXPECT_EQ(role_of(R"([1])").exit, 2);
}

TEST_F(RoleCommandsTest, RoleWithoutAnAnswerIsNeither) {
  Ran ran = role();
  EXPECT_EQ(ran.exit, 2);
  EXPECT_NE(ran.err.find("systemctl start repl@"), std::string::npos) << ran.err;
  daemon("one", {{"role", {.error = "tree one is not open", .exit = exit_held}}});
  ran = role(true);
  EXPECT_EQ(ran.exit, 2) << "never 1, which is a secondary";
  EXPECT_EQ(ran.out, "");
  EXPECT_NE(ran.err.find("tree one: tree one is not open"), std::string::npos);
}

TEST_F(RoleCommandsTest, RoleAsJson) {
  daemon("one", {{"role", {.result = R"({"role":"secondary","current":true,"epoch":4})"}}});
  const Ran ran = role(true);
  EXPECT_EQ(ran.exit, 1);
  const auto values = lines(ran.out);
  ASSERT_EQ(values.size(), 1u);
  EXPECT_EQ(get_text(values[0], "tree"), "one");
  EXPECT_EQ(get_number<int>(values[0], "epoch"), 4);
}

TEST_F(RoleCommandsTest, PromoteSaysWhatItMeans) {
  daemon("one",
         {{"promote", {.result = R"({"epoch":4,"was":"secondary","already":false,"would":false,
                     "held":["etc/a","etc/b\\x0a"],"held_count":5,"warnings":["c was not heard"]})"}}});
  const Ran ran =
      run([&] { return command_promote({.global = global_, .trees = {"one"}, .force = true}); });
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out,
            "one: the primary now (was secondary), epoch 4\n"
            "  5 changes held here will be sent to the peers:\n"
            "    etc/a\n    etc/b\\x0a\n    ... and 3 more\n"
            "  warning: c was not heard\n");
  EXPECT_EQ(asked(), Lines{"one promote dry_run=false force=true"});
}

TEST_F(RoleCommandsTest, PromoteAlreadyAndDryRun) {
  daemon("one", {{"promote", {.result = R"({"epoch":4,"was":"primary","already":true})"}}});
  daemon("two", {{"promote", {.result = R"({"epoch":5,"was":"secondary","would":true})"}}});
  const Ran ran = run([&] {
    return command_promote({.global = global_, .trees = {"one", "two"}, .dry_run = true});
  });
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out,
            "one: already the primary, epoch 4\n"
            "two: would become the primary (now secondary), epoch 5; nothing was done\n");
  EXPECT_EQ(asked().at(1), "two promote dry_run=true force=false");
}

TEST_F(RoleCommandsTest, OneTreesFailureDoesNotStopTheOthers) {
  daemon("one", {{"promote", {.error = "b is the primary; `repl switchover` there", .exit = 3}}});
  daemon("three", {{"promote", {.result = R"({"epoch":2,"was":"secondary"})"}}});
  const Ran ran = run([&] {
    return command_promote({.global = global_, .trees = {"one", "two", "three"}, .json = true});
  });
  EXPECT_EQ(ran.exit, exit_not_running) << "of \"two\": worse than the refusal of \"one\"";
  EXPECT_NE(ran.err.find("tree one: b is the primary; `repl switchover` there"), std::string::npos);
  EXPECT_NE(ran.err.find("tree two: no repl daemon answers"), std::string::npos) << ran.err;
  const auto values = lines(ran.out);
  ASSERT_EQ(values.size(), 1u);
  EXPECT_EQ(get_text(values[0], "tree"), "three");
}

TEST_F(RoleCommandsTest, WithoutTreesAllOfThisNode) {
  configure();
  const Ran none = run([&] { return command_demote({.global = global_}); });
  EXPECT_EQ(none.exit, exit_not_running);
  for (const char* tree : {"one", "two", "three"}) {
    daemon(tree, {{"demote", {.result = R"({"was":"primary"})"}}});
  }
  EXPECT_EQ(run([&] { return command_demote({.global = global_}); }).exit, 0);
  EXPECT_EQ(asked(), (Lines{"one demote dry_run=false", "three demote dry_run=false",
                            "two demote dry_run=false"}));
  global_.config_file = "/nonexistent";
  servers_.clear();
  EXPECT_EQ(run([&] { return command_pause({.global = global_}); }).exit, exit_not_running);
}

TEST_F(RoleCommandsTest, DemoteSaysWhatIsMissing) {
  daemon("one", {{"demote", {.result = R"({"was":"primary","would":false,"unsent":0,
      "peers_behind":[],"detail":""})"}}});
  daemon("two", {{"demote", {.result = R"({"was":"primary","would":false,"unsent":1,
      "peers_behind":[{"name":"b","cut":9,"durable":7}],"detail":"b is away"})"}}});
  daemon("three", {{"demote", {.result = R"({"was":"secondary","would":true,"unsent":0})"}}});
  const Ran ran =
      run([&] { return command_demote({.global = global_, .trees = {"one", "two", "three"}}); });
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out,
            "one: no longer the primary\n"
            "  everything that was written here has reached the peers\n"
            "two: no longer the primary\n"
            "  1 change made here has not reached every peer\n"
            "  b is behind: cut 9 there, 7 durable\n"
            "  b is away\n"
            "three: is not the primary (secondary); nothing to give up\n");
}

TEST_F(RoleCommandsTest, SwitchoverShowsItsSteps) {
  daemon("one", {{"switchover",
                  {.progress = {R"({"step":"draining"})", R"({"step":"draining"})",
                                R"({"step":"handed over"})"},
                   .result = R"({"from":"a","to":"b","epoch":4,"cut":118,"seconds":1.25})"}}});
  const auto options =
      SwitchoverOptions{.global = global_, .trees = {"one"}, .to = "b", .timeout_seconds = 1.5};
  Ran ran = run([&] { return command_switchover(options); });
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out,
            "one: b is the primary now (was a), epoch 4, from cut 118 on; it took 1.2 s\n");
  EXPECT_EQ(ran.err, "one: draining\none: handed over\n");
  EXPECT_EQ(asked(), Lines{"one switchover dry_run=false timeout_ms=1500 to=b unguarded=false"});
  SwitchoverOptions json = options;
  json.json = true;
  ran = run([&] { return command_switchover(json); });
  EXPECT_EQ(ran.err, "");
  EXPECT_EQ(get_text(lines(ran.out).at(0), "to"), "b");
}

TEST_F(RoleCommandsTest, SwitchoverOfAllSharedTrees) {
  configure();
  for (const char* tree : {"one", "two", "three"}) {
    daemon(tree, {{"switchover", {.result = R"({"from":"a","to":"b","would":true})"}}});
  }
  const auto to = [&](const std::string& node) {
    return run(
        [&, node] { return command_switchover({.global = global_, .to = node, .dry_run = true}); });
  };
  EXPECT_EQ(to("b").out,
            "one: a would hand over to b; nothing was done\n"
            "two: a would hand over to b; nothing was done\n");
  EXPECT_EQ(asked().size(), 2u) << "three is not on b";
  EXPECT_EQ(to("a").exit, exit_usage);
  EXPECT_NE(to("a").err.find("a is this node"), std::string::npos);
  EXPECT_EQ(to("bb").exit, exit_usage);
  EXPECT_NE(to("bb").err.find("there is no [node.bb]"), std::string::npos);
  global_.config_file = "/nonexistent";
  EXPECT_NE(to("b").err.find("name the trees"), std::string::npos);
  EXPECT_EQ(asked().size(), 2u);
}

TEST_F(RoleCommandsTest, WhatNobodyKnowsOfASwitchoverIsSaid) {
  // A daemon that goes away before it says how it ended.
  std::atomic<bool> asked = false;
  std::vector<Reply> kept;
  auto server = ControlServer::start(
      {.socket_path = dir_ + "/one.sock", .group = ""},
      [&](const Request&, const Reply& reply) {
        kept.push_back(reply);
        asked = true;
      },
      log_);
  ASSERT_TRUE(server.has_value());
  std::thread stopper([&] {
    while (!asked) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    server->reset();
  });
  const Ran ran =
      run([&] { return command_switchover({.global = global_, .trees = {"one"}, .to = "b"}); });
  stopper.join();
  EXPECT_EQ(ran.exit, exit_failed);
  EXPECT_NE(ran.err.find("`repl role one` on both nodes"), std::string::npos) << ran.err;
  // What the daemon says needs no such advice.
  daemon("one", {{"switchover", {.error = "b is behind; wait", .exit = exit_failed}}});
  EXPECT_EQ(
      run([&] { return command_switchover({.global = global_, .trees = {"one"}, .to = "b"}); }).err,
      "repl: tree one: b is behind; wait\n");
}

TEST_F(RoleCommandsTest, PauseAndResume) {
  daemon("one", {{"pause", {.result = R"({"paused":true})"}},
                 {"resume", {.result = R"({"paused":false})"}}});
  Ran ran = run([&] { return command_pause({.global = global_, .trees = {"one"}}); });
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out, "one: paused; changes are remembered until `repl resume one`\n");
  ran = run([&] {
    return command_pause({.global = global_, .trees = {"one"}, .resume = true, .json = true});
  });
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out, "{\"paused\":false,\"tree\":\"one\"}\n");
  EXPECT_EQ(asked(), (Lines{"one pause", "one resume"}));
  servers_.clear();
  daemon("one", {{"resume", {.result = R"({"paused":true})"}}});
  EXPECT_EQ(run([&] {
              return command_pause({.global = global_, .trees = {"one"}, .resume = true});
            }).exit,
            exit_failed);
}

TEST_F(RoleCommandsTest, DiffListsWhatDiffers) {
  daemon("one",
         {{"diff", {.progress = {R"({"phase":"comparing"})"}, .result = R"({"peer":"b","items":[
              {"change":"new","path":"etc","type":"directory","bytes":0},
              {"change":"changed","path":"etc/a\\x0a","type":"file","bytes":2048},
              {"change":"attributes","path":"","type":"directory","bytes":0},
              {"change":"deleted","path":"old","type":"file","bytes":5}],
              "counts":{"new":1,"changed":1,"attributes":1,"deleted":1,"kept":0},
              "bytes":2048,"truncated":false})"}}});
  const Ran ran = run([&] { return command_diff({.global = global_, .tree = "one"}); });
  EXPECT_EQ(ran.exit, exit_failed);
  EXPECT_EQ(ran.out,
            "one: differs from b in 4 paths\n"
            "  new                     etc/\n"
            "  changed        2.0 KiB  etc/a\\x0a\n"
            "  attributes              ./\n"
            "  deleted                 old\n"
            "  1 new, 1 changed, 1 in attributes alone, 1 deleted; 2.0 KiB in files\n");
  EXPECT_EQ(ran.err, "one: comparing\n");
  EXPECT_EQ(asked(), Lines{"one diff"});
}

TEST_F(RoleCommandsTest, DiffOfEqualTreesAndOfAPeerThatIsAway) {
  daemon("one", {{"diff", {.result = R"({"peer":"b","items":[],"counts":{"new":0}})"}}});
  Ran ran = run([&] { return command_diff({.global = global_, .tree = "one", .peer = "b"}); });
  EXPECT_EQ(ran.exit, exit_ok);
  EXPECT_EQ(ran.out, "one: equal to b\n");
  EXPECT_EQ(asked(), Lines{"one diff peer=b"});
  servers_.clear();
  daemon("one", {{"diff", {.error = "b is away", .exit = exit_peer_away}}});
  ran = run([&] { return command_diff({.global = global_, .tree = "one", .json = true}); });
  EXPECT_EQ(ran.exit, exit_peer_away);
  EXPECT_EQ(ran.out, "");
}

TEST(ExitCodes, TheWorseOfTwo) {
  EXPECT_EQ(worse(exit_ok, exit_held), exit_held);
  EXPECT_EQ(worse(exit_held, exit_ok), exit_held);
  EXPECT_EQ(worse(exit_equal_except_held, exit_failed), exit_failed);
  EXPECT_EQ(worse(exit_peer_away, exit_held), exit_peer_away);
  EXPECT_EQ(worse(exit_failed, exit_not_running), exit_not_running);
  EXPECT_EQ(worse(exit_not_running, exit_refused), exit_not_running);
  EXPECT_EQ(worse(exit_ok, 99), 99) << "of a newer daemon";
  EXPECT_EQ(worse(exit_ok, exit_ok), exit_ok);
}

}  // namespace
}  // namespace repl::cli
