#include "cli/hooks.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

namespace repl::cli {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using Kind = run::TreeEvent::Kind;

class Lines final : public Log {
 public:
  void write(LogLevel level, std::string_view line) override {
    const std::lock_guard lock(mutex_);
    lines_.push_back((level == LogLevel::error ? "E " : "") + std::string(line));
  }
  [[nodiscard]] bool enabled(LogLevel) const override { return true; }
  [[nodiscard]] std::vector<std::string> all() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

class HookTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/repl-hooks-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string script(const std::string& body, mode_t mode = 0700) {
    const std::string path = dir_ + "/hook" + std::to_string(++scripts_);
    std::ofstream(path) << "#!/bin/sh\n" << body;
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  HookResult run(std::vector<std::string> arguments, milliseconds timeout = milliseconds(20'000),
                 int stop_fd = -1) {
    lines_.clear();
    return run_hook_program({.arguments = std::move(arguments),
                             .environment = {"PATH=/usr/bin:/bin"},
                             .timeout = timeout,
                             .grace = milliseconds(300)},
                            clock_, stop_fd,
                            [this](std::string_view line) { lines_.emplace_back(line); });
  }
  [[nodiscard]] std::string content(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(dir_ + "/" + name).rdbuf();
    return text.str();
  }
  // The process whose number a hook wrote there is gone, or is soon.
  [[nodiscard]] bool gone(const std::string& name) const {
    const pid_t pid = std::stoi(content(name));
    for (int i = 0; i < 200; ++i) {
      std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
      std::string text;
      if (!std::getline(stat, text) || text.find(") Z ") != std::string::npos) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }

  SystemClock clock_;
  std::string dir_;
  int scripts_ = 0;
  std::vector<std::string> lines_;
};

// --- one run

TEST_F(HookTest, ArgumentsStayWhatTheyAre) {
  const std::string odd = "a b; touch " + dir_ + "/shell $(id) `id` * 'q' \"p\" | > x";
  const HookResult result = run({script("printf '<%s>\\n' \"$@\"\n"), odd, "", "-n", "\\n"});
  EXPECT_FALSE(result.failed()) << result.describe();
  std::string escaped = odd;
  EXPECT_THAT(lines_, ElementsAre("<" + escaped + ">", "<>", "<-n>", "<\\\\n>"));
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/shell"));
}

TEST_F(HookTest, NothingOfOursIsInherited) {
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Fd open_without_cloexec(::fcntl(null.get(), F_DUPFD, 50));
  ASSERT_TRUE(open_without_cloexec.valid());
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  ASSERT_NE(::signal(SIGPIPE, SIG_IGN), SIG_ERR);
  ::setenv("REPL_SECRET", "x", 1);
  // dash reads its script from 10.
  const HookResult result = run({script(
      "for fd in 3 4 5 6 7 8 9 $(seq 11 80); do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done\n"
      "readlink /proc/$$/fd/0 /proc/$$/cwd\n"
      "read -r line; echo \"input <$line>\"\n"
      "grep '^SigIgn' /proc/self/status | tr -d '\\t'\n"
      "echo \"group $(($(cut -d' ' -f5 /proc/$$/stat) - $$))\"\n"
      "cat /proc/$$/environ | tr '\\0' ' '; echo\n")});
  const std::vector<std::string> lines = lines_;
  // Not by the shell, which clears it.
  EXPECT_FALSE(run({"/bin/grep", "SigBlk.*0000000000000000", "/proc/self/status"}).failed());
  ::unsetenv("REPL_SECRET");
  ::signal(SIGPIPE, SIG_DFL);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_FALSE(result.failed()) << result.describe();
  // Of the ignored signals those two are the C library's own.
  EXPECT_THAT(lines,
              ElementsAre("/dev/null", "/", "input <>",
                          testing::AnyOf("SigIgn:0000000000000000", "SigIgn:0000000180000000"),
                          "group 0", "PATH=/usr/bin:/bin "));
}

TEST_F(HookTest, TheTimeLimitEndsTheWholeGroup) {
  const std::string at = dir_;
  // A child, and a grandchild that hears no SIGTERM and has closed the pipe.
  const HookResult result = run({script("trap '' TERM\n"
                                        "(sh -c 'trap \"\" TERM; echo $$ > " +
                                        at +
                                        "/grandchild; sleep 60; sleep 60' > /dev/null 2>&1) &\n"
                                        "echo $$ > " +
                                        at + "/child; echo begun; wait; sleep 60; sleep 60\n")},
                                milliseconds(500));
  EXPECT_TRUE(result.ran);
  EXPECT_TRUE(result.timed_out);
  EXPECT_TRUE(result.failed());
  EXPECT_EQ(result.exit_status, 128 + SIGKILL);
  EXPECT_THAT(result.describe(), HasSubstr("hook_timeout"));
  EXPECT_THAT(result.describe(), HasSubstr("begun"));
  EXPECT_TRUE(gone("child"));
  EXPECT_TRUE(gone("grandchild"));
}

TEST_F(HookTest, TheGroupIsAskedBeforeItIsForced) {
  const HookResult result =
      run({script("trap 'echo asked; exit 7' TERM\necho ready\nwhile :; do sleep 0.05; done\n")},
          milliseconds(400));
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.exit_status, 7);
  EXPECT_THAT(lines_, Contains("asked"));
}

TEST_F(HookTest, WhatItLeavesRunningIsLetAlone) {
  const auto began = clock_.now();
  const HookResult result = run({script("sleep 60 & echo $! > " + dir_ + "/left\necho done\n")});
  EXPECT_FALSE(result.failed());
  EXPECT_LT(clock_.now() - began, std::chrono::seconds(15));
  EXPECT_THAT(lines_, ElementsAre("done"));
  const pid_t left = std::stoi(content("left"));
  EXPECT_EQ(::kill(left, 0), 0);
  ::kill(left, SIGKILL);
}

TEST_F(HookTest, FailureAndOutputAreBounded) {
  const HookResult result =
      run({script("i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done\n"
                  "printf 'bell \\007\\n' >&2; head -c 5000 /dev/zero | tr '\\0' x; exit 3\n")});
  EXPECT_EQ(result.exit_status, 3);
  EXPECT_TRUE(result.failed());
  ASSERT_EQ(lines_.size(), limits::hook_lines_max + 1);
  EXPECT_EQ(lines_.back(), "202 more lines of output are left out");
  EXPECT_THAT(result.describe(), HasSubstr("exited with status 3: line 397; line 398; line 399; "
                                           "bell \\x07; xxx"));
  EXPECT_LT(result.output_tail.size(), 1200u);
}

TEST_F(HookTest, ItEndsWhenReplEnds) {
  const Fd stop(::eventfd(1, EFD_CLOEXEC));
  const HookResult result = run({script("sleep 60\n")}, milliseconds(20'000), stop.get());
  EXPECT_TRUE(result.stopped);
  EXPECT_TRUE(result.failed());
}

TEST_F(HookTest, WhatOthersCanChangeIsNotRun) {
  const std::string touch = "touch " + dir_ + "/ran\n";
  const auto why = [&](const std::string& path) {
    const HookResult result = run({path});
    EXPECT_FALSE(result.ran) << path;
    EXPECT_TRUE(result.failed()) << path;
    return result.describe();
  };
  EXPECT_THAT(why(script(touch, 0722)), HasSubstr("chmod go-w"));
  EXPECT_THAT(why(script(touch, 0720)), HasSubstr("chmod go-w"));
  EXPECT_THAT(why(script(touch, 0600)), HasSubstr("chmod +x"));
  EXPECT_THAT(why(dir_), HasSubstr("not a file"));
  EXPECT_THAT(why(dir_ + "/none"), HasSubstr("No such file"));
  const std::string bare = dir_ + "/bare";
  std::ofstream(bare) << touch;
  ::chmod(bare.c_str(), 0700);
  EXPECT_THAT(why(bare), HasSubstr("#!"));
  // By the directory above it, also where a symlink leads out of it.
  const std::string good = script(touch);
  std::filesystem::create_directory(dir_ + "/open");
  ::chmod((dir_ + "/open").c_str(), 0777);
  std::filesystem::create_symlink(good, dir_ + "/open/link");
  std::filesystem::copy(good, dir_ + "/open/hook");
  EXPECT_THAT(why(dir_ + "/open/hook"), HasSubstr("others than root can replace it"));
  EXPECT_THAT(why(dir_ + "/open/link"), HasSubstr("others than root can replace it"));
  if (::geteuid() == 0) {
    const std::string foreign = script(touch);
    ASSERT_EQ(::chown(foreign.c_str(), 12345, 0), 0);
    EXPECT_THAT(why(foreign), HasSubstr("chown"));
  }
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/ran"));
  EXPECT_FALSE(run({good}).failed());
  EXPECT_TRUE(std::filesystem::exists(dir_ + "/ran"));
}

// --- the hooks of a tree

class TreeHooks : public HookTest {
 protected:
  void configure(std::map<Kind, std::vector<std::string>> programs, int timeout_s = 20) {
    ASSERT_TRUE(hooks_.configure(
        {.tree = "idm", .node = "mgmt1", .root = "/srv/a\tb"},
        {.programs = std::move(programs), .timeout = std::chrono::seconds(timeout_s)}));
  }
  // Everything that was posted before has run.
  HookResult finish(Kind kind) {
    std::promise<HookResult> done;
    hooks_.run({.kind = kind}, [&](const HookResult& result) { done.set_value(result); });
    return done.get_future().get();
  }

  Lines log_;
  Hooks hooks_{clock_, log_};
};

TEST_F(TreeHooks, TheEnvironmentIsWhatIsDocumented) {
  configure({{Kind::diverged, {"/usr/bin/env"}}});
  hooks_.post({.kind = Kind::diverged,
               .peer = "mgmt2",
               .reason = "bad\nline\x1b[31m",
               .epoch = Epoch{7},
               .role = Role::secondary});
  EXPECT_FALSE(finish(Kind::diverged).failed());
  const std::vector<std::string> lines = log_.all();
  const std::vector<std::string> first(lines.begin(), lines.begin() + 11);
  EXPECT_THAT(first,
              ElementsAre("idm: on_diverged: /usr/bin/env runs",
                          "idm: on_diverged: PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/"
                          "bin:/sbin:/bin",
                          "idm: on_diverged: LANG=C.UTF-8", "idm: on_diverged: REPL_EVENT=diverged",
                          "idm: on_diverged: REPL_TREE=idm", "idm: on_diverged: REPL_NODE=mgmt1",
                          // Escaped for the hook, and once more for the log.
                          "idm: on_diverged: REPL_ROOT=/srv/a\\\\x09b",
                          "idm: on_diverged: REPL_ROLE=secondary", "idm: on_diverged: REPL_EPOCH=7",
                          "idm: on_diverged: REPL_PEER=mgmt2",
                          "idm: on_diverged: REPL_REASON=bad\\\\x0aline\\\\x1b[31m"));
}

TEST_F(TreeHooks, InOrderAndBounded) {
  const std::string out = dir_ + "/out";
  const std::string gate = dir_ + "/gate";
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  const std::string note = script("echo $REPL_EVENT $REPL_PEER >> " + out + "\n");
  configure({{Kind::promoted, {script("read -r x < " + gate + "\n")}},
             {Kind::held, {note}},
             {Kind::synced, {note}}});
  hooks_.post({.kind = Kind::promoted});
  const int writer = ::open(gate.c_str(), O_WRONLY);  // it runs from here on
  hooks_.post({.kind = Kind::synced, .peer = "first"});
  for (size_t i = 0; i < limits::hook_waiting_max + 3; ++i)
    hooks_.post({.kind = Kind::held, .peer = std::to_string(i)});
  hooks_.post({.kind = Kind::synced, .peer = "last"});
  hooks_.post({.kind = Kind::demoted});  // there is none
  ::close(writer);
  EXPECT_FALSE(finish(Kind::synced).failed());
  std::string expected = "synced first\n";
  for (size_t i = 3; i < limits::hook_waiting_max + 3; ++i)
    expected += "hold " + std::to_string(i) + "\n";
  EXPECT_EQ(content("out"), expected + "synced last\nsynced\n");
  EXPECT_THAT(log_.all(), Contains(HasSubstr("on_hold is not run for an earlier event")).Times(3));
}

TEST_F(TreeHooks, WhoWaitsIsToldOfSuccessAndFailure) {
  configure(
      {{Kind::demoted, {script("echo no way; exit 4\n")}}, {Kind::promoted, {dir_ + "/none"}}});
  const HookResult failed = finish(Kind::demoted);
  EXPECT_TRUE(failed.ran && failed.failed());
  EXPECT_EQ(failed.exit_status, 4);
  EXPECT_THAT(log_.all(),
              Contains("E idm: on_demote: " + dir_ + "/hook1 exited with status 4: no way"));
  EXPECT_TRUE(finish(Kind::promoted).failed()) << "a hook that cannot be run is no success";
  const HookResult none = finish(Kind::synced);
  EXPECT_FALSE(none.ran || none.failed());
}

TEST_F(TreeHooks, OneThatIsWaitedForIsNotDropped) {
  const std::string gate = dir_ + "/gate";
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  configure({{Kind::promoted, {script("read -r x < " + gate + "\n")}},
             {Kind::demoted, {script("exit 0\n")}}});
  hooks_.post({.kind = Kind::promoted});
  const int writer = ::open(gate.c_str(), O_WRONLY);
  std::promise<HookResult> done;
  hooks_.run({.kind = Kind::demoted}, [&](const HookResult& result) { done.set_value(result); });
  for (size_t i = 0; i < limits::hook_waiting_max * 2; ++i) hooks_.post({.kind = Kind::demoted});
  ::close(writer);
  std::future<HookResult> answer = done.get_future();
  ASSERT_EQ(answer.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  const HookResult result = answer.get();
  EXPECT_TRUE(result.ran) << result.describe();
}

TEST_F(TreeHooks, TheEndEndsWhatRunsAndTellsWhoWaits) {
  configure({{Kind::demoted, {script("echo begun > " + dir_ + "/begun; sleep 60\n")}}});
  std::vector<HookResult> results;
  for (int i = 0; i < 2; ++i)
    hooks_.run({.kind = Kind::demoted}, [&](const HookResult& r) { results.push_back(r); });
  while (!std::filesystem::exists(dir_ + "/begun")) std::this_thread::sleep_for(milliseconds(5));
  hooks_.stop();
  hooks_.run({.kind = Kind::demoted}, [&](const HookResult& r) { results.push_back(r); });
  ASSERT_EQ(results.size(), 3u);
  EXPECT_TRUE(results[0].stopped);
  EXPECT_FALSE(results[1].ran);
  EXPECT_TRUE(results[1].failed() && results[2].failed());
}

TEST_F(TreeHooks, ATimeLimitIsTold) {
  configure({{Kind::synced, {script("sleep 60\n")}}}, 1);
  EXPECT_TRUE(finish(Kind::synced).timed_out);
  EXPECT_THAT(log_.all(), Contains(HasSubstr("did not end within its time limit")));
}

TEST_F(TreeHooks, FaultsAreKnownBeforehand) {
  TreeConfig tree;
  tree.hooks.programs = {{Kind::promoted, {"/bin/true"}}, {Kind::held, {script("", 0600)}}};
  const std::vector<std::string> faults = hook_faults(tree);
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_THAT(faults[0], HasSubstr("on_hold: "));
  EXPECT_THAT(faults[0], HasSubstr("chmod +x"));
}

}  // namespace
}  // namespace repl::cli
