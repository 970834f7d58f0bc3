#include <pty.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "cli/certificate.h"
#include "cli/commands.h"
#include "cli/difference_view.h"
#include "cli/exit_codes.h"
#include "cli/replace_file.h"
#include "engine/base/limits.h"
#include "tests/unit/cli/scripted_daemon.h"

namespace repl::cli {
namespace {

using Lines = std::vector<std::string>;

constexpr const char* behind_plan = R"({"plan":"p1","state":"behind","from":"b",
  "position":{"epoch":3,"reign":"aa","cut":118},
  "items":[{"change":"new","path":"x","type":"file","bytes":1024,"kept":false}],
  "counts":{"new":1,"changed":0,"attributes":0,"deleted":0,"kept":0},"bytes":1024,
  "truncated":false,"warnings":[]})";
constexpr const char* diverged_plan = R"({"plan":"p2","state":"diverged","from":"b",
  "position":{"epoch":3,"reign":"aa","cut":7},
  "items":[{"change":"changed","path":"f","type":"file","bytes":10,"kept":true},
           {"change":"deleted","path":"g","type":"symlink","bytes":0,"kept":false}],
  "counts":{"new":0,"changed":1,"attributes":0,"deleted":1,"kept":1},"bytes":10,
  "truncated":false,"warnings":["the filters differ"]})";
constexpr const char* synced_plan = R"({"plan":"p3","state":"in sync","from":"b",
  "position":{"epoch":3,"reign":"aa","cut":9},"items":[],"counts":{},"bytes":0})";
constexpr const char* verified = R"({"verified":true,
  "position":{"epoch":3,"reign":"aa","cut":118},"peer_position":{"epoch":3,"reign":"aa","cut":118},
  "fingerprint":"f00d","peer_fingerprint":"f00d","entries":1204,"bytes_read":4096,
  "written_reread":2,"kept":1,"kept_in":"/srv/one/.repl/diverged/x","held":0,"seconds":12.5,
  "at":1764342000,"detail":""})";
constexpr const char* unverified = R"({"verified":false,
  "position":{"epoch":3,"reign":"aa","cut":1},"peer_position":{"epoch":3,"reign":"aa","cut":2},
  "fingerprint":"f00d","peer_fingerprint":"beef","entries":1,"held":0,"at":0,
  "detail":"b keeps changing"})";

class CatchupTest : public ScriptedDaemonTest {
 protected:
  void node(const std::string& tree, const char* plan, ScriptedReply catchup) {
    daemon(tree, {{"catchup_plan", {.progress = {R"({"phase":"comparing"})"}, .result = plan}},
                  {"catchup", std::move(catchup)}});
  }
  CatchupOptions options(std::vector<std::string> trees = {"one"}) {
    return {.global = global_, .trees = std::move(trees), .from = "b"};
  }
  static Ran ran(const CatchupOptions& options) {
    return run([&] { return command_catchup(options); });
  }
  static std::string content(const std::string& file) {
    std::ifstream in(file);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  // On a terminal, where somebody answers.
  Ran answered(const CatchupOptions& options, const std::string& answer) {
    int person = -1, terminal = -1;
    EXPECT_EQ(::openpty(&person, &terminal, nullptr, nullptr, nullptr), 0);
    const Fd a(person), b(terminal);
    EXPECT_EQ(::write(person, answer.data(), answer.size()), static_cast<ssize_t>(answer.size()));
    return run([&] { return command_catchup(options); }, terminal);
  }
};

TEST_F(CatchupTest, ShowsThePlanAndAsks) {
  node("one", diverged_plan, {.result = verified});
  const Ran ran = answered(options(), "y\n");
  EXPECT_EQ(ran.exit, 0);
  EXPECT_TRUE(ran.out.starts_with(
      "one has diverged from b (epoch 3, cut 7)\n"
      "  changed     kept aside        10 B  f\n"
      "  deleted                             g\n"
      "  1 changed, 1 deleted; 10 B in files\n"
      "  1 version that only this node has is kept aside first: `repl diverged list one` finds it\n"
      "  warning: the filters differ\n"
      "one: verified, equal to b\n"))
      << ran.out;
  EXPECT_NE(ran.err.find("Catch up one from b? [y/N] "), std::string::npos) << ran.err;
  EXPECT_EQ(asked(), (Lines{"one catchup_plan from=b", "one catchup from=b plan=p2"}));
}

TEST_F(CatchupTest, OnlyYesIsConsent) {
  node("one", behind_plan, {.result = verified});
  for (const char* answer : {"n\n", "\n", "yo\n", "yes, but not now\n"}) {
    const Ran ran = answered(options(), answer);
    EXPECT_EQ(ran.exit, exit_failed) << answer;
    EXPECT_NE(ran.err.find("nothing was done"), std::string::npos);
  }
  for (const std::string& line : asked()) EXPECT_EQ(line, "one catchup_plan from=b");
  EXPECT_EQ(answered(options(), "yes\n").exit, exit_ok);
}

TEST_F(CatchupTest, WithoutATerminalItNeedsYes) {
  node("one", behind_plan, {.result = verified});
  CatchupOptions o = options();
  Ran without = ran(o);
  EXPECT_EQ(without.exit, exit_usage);
  EXPECT_NE(without.err.find("--yes"), std::string::npos);
  EXPECT_NE(without.err.find("--dry-run"), std::string::npos);
  o.json = true;  // a program is not asked, terminal or not
  without = answered(o, "y\n");
  EXPECT_EQ(without.exit, exit_usage);
  EXPECT_EQ(without.out, "");
  for (const std::string& line : asked()) EXPECT_EQ(line, "one catchup_plan from=b");
  o.yes = true;
  const Ran with = ran(o);
  EXPECT_EQ(with.exit, exit_ok);
  ASSERT_EQ(lines(with.out).size(), 1u) << "the certificate alone";
  EXPECT_EQ(get_text(lines(with.out)[0], "tree"), "one");
  EXPECT_EQ(get_text(lines(with.out)[0], "kept_in"), "/srv/one/.repl/diverged/x");
  EXPECT_EQ(with.err, "");
}

TEST_F(CatchupTest, InSyncIsVerifiedWithoutAQuestion) {
  node("one", synced_plan, {.result = verified});
  const Ran done = ran(options());
  EXPECT_EQ(done.exit, exit_ok);
  EXPECT_TRUE(done.out.starts_with("one in sync with b (epoch 3, cut 9)\none: verified, equal to"))
      << done.out;
  EXPECT_EQ(asked().at(1), "one catchup from=b plan=p3");
}

TEST_F(CatchupTest, DryRunOnlyPlans) {
  node("one", behind_plan, {.result = verified});
  node("two", diverged_plan, {.result = verified});
  CatchupOptions o = options({"one", "two"});
  o.dry_run = true;
  EXPECT_EQ(ran(o).exit, exit_ok);
  o.json = true;
  const auto plans = lines(ran(o).out);
  ASSERT_EQ(plans.size(), 2u);
  EXPECT_EQ(get_text(plans[1], "tree"), "two");
  EXPECT_EQ(get_member(plans[1], "items").size(), 2u);
  for (const std::string& line : asked()) {
    EXPECT_NE(line.find("catchup_plan"), std::string::npos) << line;
  }
}

TEST_F(CatchupTest, AllPlansThenOneQuestionThenOneAfterTheOther) {
  configure();
  node("one", behind_plan, {.result = verified});
  node("two", synced_plan, {.result = unverified});
  node("three", behind_plan, {.result = verified});
  const Ran done = answered(options({}), "y\n");
  EXPECT_EQ(done.exit, exit_failed) << "two is not verified";
  EXPECT_EQ(asked(), (Lines{"one catchup_plan from=b", "two catchup_plan from=b",
                            "one catchup from=b plan=p1", "two catchup from=b plan=p3"}));
  EXPECT_NE(done.err.find("Catch up one from b?"), std::string::npos)
      << "two needs no consent: " << done.err;
  EXPECT_NE(done.out.find("two: NOT verified against b\n  b keeps changing\n"
                          "  position     epoch 3, cut 1 here, epoch 3, cut 2 there\n"
                          "  fingerprint  f00d here, beef there\n"),
            std::string::npos)
      << done.out;
}

TEST_F(CatchupTest, APeerThatIsAwayForAMomentIsWaitedFor) {
  const ScriptedReply plan{
      .result = behind_plan, .error = "b is away", .exit = exit_peer_away, .failures = 2};
  const ScriptedReply catchup{
      .result = verified, .error = "b is away", .exit = exit_peer_away, .failures = 1};
  daemon("one", {{"catchup_plan", plan}, {"catchup", catchup}});
  CatchupOptions o = options();
  o.yes = true;
  const Ran done = ran(o);
  EXPECT_EQ(done.exit, exit_ok) << done.err;
  EXPECT_EQ(asked().size(), 5u);
}

TEST_F(CatchupTest, ATreeThatFailsDoesNotStopTheOthers) {
  daemon("one", {{"catchup_plan", {.error = "b is away", .exit = exit_peer_away}}});
  node("two", behind_plan, {.error = "the plan is old; run it again", .exit = exit_held});
  node("three", behind_plan, {.result = verified});
  CatchupOptions o = options({"one", "two", "three"});
  o.yes = true;
  o.certificate = dir_ + "/proof.json";
  const Ran done = ran(o);
  EXPECT_EQ(done.exit, exit_peer_away);
  EXPECT_NE(done.err.find("tree one: b is away"), std::string::npos);
  EXPECT_NE(done.err.find("tree two: the plan is old"), std::string::npos);
  EXPECT_NE(done.out.find("three: verified"), std::string::npos);
  const Json proof = parse_json(content(o.certificate));
  ASSERT_EQ(proof.size(), 3u);
  EXPECT_EQ(get_text(proof[0], "tree"), "one");
  EXPECT_FALSE(get_bool(proof[0], "verified"));
  EXPECT_EQ(get_number<int>(proof[1], "exit"), exit_held);
  EXPECT_EQ(get_text(proof[2], "fingerprint"), "f00d");
  EXPECT_TRUE(get_bool(proof[2], "verified"));
}

TEST_F(CatchupTest, NoDaemon) {
  CatchupOptions o = options();
  o.yes = true;
  const Ran none = ran(o);
  EXPECT_EQ(none.exit, exit_not_running);
  EXPECT_NE(none.err.find("systemctl start repl@"), std::string::npos);
}

TEST_F(CatchupTest, TheCertificateReplacesAFileAndNothingElse) {
  node("one", synced_plan, {.result = verified});
  CatchupOptions o = options();
  o.certificate = dir_ + "/proof.json";
  std::ofstream(o.certificate) << "old";
  ASSERT_EQ(::chmod(o.certificate.c_str(), 0600), 0);
  const mode_t mask = ::umask(077);
  EXPECT_EQ(ran(o).exit, exit_ok);
  ::umask(mask);
  EXPECT_TRUE(parse_json(content(o.certificate)).is_array());
  struct stat st{};
  ASSERT_EQ(::stat(o.certificate.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0644u);
  size_t files = 0;
  for (const auto& item : std::filesystem::directory_iterator(dir_)) {
    files += item.path().filename().string().starts_with("proof.json") ? 1 : 0;
  }
  EXPECT_EQ(files, 1u) << "nothing is left beside it";
  // What cannot be written is known before anything is done.
  const size_t before = asked().size();
  ASSERT_EQ(::symlink("proof.json", (dir_ + "/link").c_str()), 0);
  for (const std::string& path : {dir_ + "/link", dir_, dir_ + "/none/proof", std::string("/")}) {
    o.certificate = path;
    EXPECT_EQ(ran(o).exit, exit_usage) << path;
    EXPECT_FALSE(replace_file(path, "x", 0644).has_value()) << path;
  }
  EXPECT_EQ(asked().size(), before);
}

TEST_F(CatchupTest, ProgressHasItsPhases) {
  node("one", synced_plan,
       {.progress = {R"({"phase":"keeping","files_done":0,"files_total":0})",
                     R"({"phase":"transferring","files_done":1,"files_total":2,"bytes_done":5,
                         "bytes_total":10})",
                     R"("no object: not shown")",
                     R"({"phase":"transferring","files_done":2,"files_total":2,"bytes_done":10,
                         "bytes_total":10})",
                     R"({"phase":"verifying"})"},
        .result = verified});
  const Ran done = ran(options());
  EXPECT_EQ(done.exit, exit_ok);
  EXPECT_EQ(done.err.find("one: comparing\none: keeping aside what only this node has\n"
                          "one: transferring\n2/2 files  10 B/10 B  100%  in "),
            0u)
      << done.err;
  EXPECT_NE(done.err.find("one: verifying\n"), std::string::npos) << done.err;
}

TEST_F(CatchupTest, AnInterruptionSaysHowItGoesOn) {
  std::vector<Reply> kept;
  std::atomic<bool> working = false;
  auto server = ControlServer::start(
      {.socket_path = dir_ + "/one.sock", .group = ""},
      [&](const Request& request, Reply reply) {
        if (request.command == "catchup_plan") return reply.done(behind_plan);
        kept.push_back(reply);
        working = true;
      },
      log_);
  ASSERT_TRUE(server.has_value());
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  const Fd in(pipe[0]);
  Fd out(pipe[1]);
  for (const int signal : {SIGINT, SIGTERM}) {
    working = false;
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(pipe[1], STDERR_FILENO);
      ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
      CatchupOptions o = options();
      o.yes = true;
      _exit(command_catchup(o));
    }
    for (int i = 0; i < 2000 && !working; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ASSERT_TRUE(working);
    ASSERT_EQ(::kill(child, signal), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status)) << "a shell says 130";
    EXPECT_EQ(WTERMSIG(status), signal);
  }
  out.reset();
  char text[4096];
  const ssize_t n = ::read(in.get(), text, sizeof text);
  const std::string said(text, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  const size_t first = said.find("goes on where this one stopped");
  EXPECT_NE(first, std::string::npos) << said;
  EXPECT_NE(said.find("goes on where this one stopped", first + 1), std::string::npos) << said;
}

TEST(Certificate, Verdicts) {
  EXPECT_EQ(verdict_of(parse_json(verified)), exit_ok);
  EXPECT_EQ(verdict_of(parse_json(unverified)), exit_failed);
  EXPECT_EQ(verdict_of(parse_json(R"({"verified":true,"held":2})")), exit_held);
  EXPECT_EQ(verdict_of(parse_json(R"({"verified":false,"held":2})")), exit_held);
  EXPECT_EQ(verdict_of(parse_json(R"({"verified":"true"})")), exit_failed);
  EXPECT_EQ(verdict_of(parse_json("{}")), exit_failed);
}

TEST(Certificate, InWords) {
  EXPECT_EQ(render_certificate("one", "b", parse_json(verified)),
            "one: verified, equal to b\n"
            "  position     epoch 3, cut 118, both sides\n"
            "  fingerprint  f00d, both sides\n"
            "  read         1204 entries, 4.0 KiB; of what was written 2 again\n"
            "  kept         1 version that only this node had, in /srv/one/.repl/diverged/x: "
            "`repl diverged list one`\n"
            "  at           2025-11-28T15:00:00Z, after 12.5 s\n");
  const std::string held = render_certificate("one", "b", parse_json(R"({"held":2})"));
  EXPECT_NE(held.find("NOT verified"), std::string::npos);
  EXPECT_NE(held.find("2 paths; `repl status one` lists them"), std::string::npos) << held;
}

std::string many(size_t listed, uint64_t counted, bool truncated) {
  Json items = Json::array();
  for (size_t i = 0; i < listed; ++i) {
    items.push_back(Json{{"change", "new"}, {"path", "p"}, {"type", "file"}, {"bytes", 1}});
  }
  return render_differences(Json{
      {"items", items}, {"counts", {{"new", counted}}}, {"bytes", 1}, {"truncated", truncated}});
}

TEST(DifferenceView, AScreenfulAndHowManyMore) {
  constexpr size_t most = limits::difference_lines_max;
  EXPECT_EQ(many(most, most, false).find("more"), std::string::npos);
  std::string text = many(most + 1, most + 1, false);
  EXPECT_NE(text.find("  ... and 1 more (--json lists all)\n"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), static_cast<ptrdiff_t>(most) + 2);
  text = many(most + 1, 100'000, true);
  EXPECT_NE(text.find("  ... and 99800 more (--json lists the first 201)\n"), std::string::npos)
      << text;
}

TEST(DifferenceView, WhatIsNoListIsNone) {
  for (const char* text : {"{}", R"({"items":7,"counts":[]})", R"({"items":{"a":1},"counts":1})",
                           R"({"items":[7,null],"counts":{"new":"x"}})"}) {
    EXPECT_EQ(render_differences(parse_json(text)), "") << text;
  }
  EXPECT_EQ(differences(parse_json("{}")), 0u);
  EXPECT_EQ(render_differences(parse_json("{}")), "");
  EXPECT_EQ(differences(parse_json(R"({"counts":{"new":2,"deleted":3}})")), 5u);
}

}  // namespace
}  // namespace repl::cli
