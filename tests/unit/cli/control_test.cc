#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>

#include "cli/control_client.h"
#include "cli/control_protocol.h"
#include "cli/control_server.h"
#include "cli/exit_codes.h"
#include "engine/base/fd.h"
#include "engine/base/limits.h"

namespace repl::cli {
namespace {

using namespace std::chrono_literals;

TEST(ControlProtocol, RoundTrips) {
  const Request request{"wait", "idm", {{"for", "durable"}, {"timeout_ms", "5000"}}};
  const auto back = decode_request(encode(request));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->command, "wait");
  EXPECT_EQ(back->tree, "idm");
  EXPECT_EQ(back->number("timeout_ms", 0), 5000u);
  EXPECT_EQ(back->number("for", 7), 7u);
  const auto typed = decode_request(R"({"command":"x","options":{"a":true,"b":12}})");
  ASSERT_TRUE(typed.has_value());
  EXPECT_TRUE(typed->flag("a"));
  EXPECT_EQ(typed->number("b", 0), 12u);

  const auto progress = decode_reply(encode(ReplyProgress{R"({"files_done":1})"}));
  EXPECT_EQ(std::get<ReplyProgress>(*progress).json, R"({"files_done":1})");
  const auto done = decode_reply(encode(ReplyDone{R"({"a":[1,2]})"}));
  EXPECT_EQ(std::get<ReplyDone>(*done).json, R"({"a":[1,2]})");
  const auto failed = decode_reply(encode(ReplyFailed{"line\nbreak \xff", 3}));
  EXPECT_EQ(std::get<ReplyFailed>(*failed).exit, 3);
  EXPECT_EQ(encode(ReplyFailed{"a\nb", 3}).find('\n'), std::string::npos);
}

TEST(ControlProtocol, MalformedIsAnError) {
  for (const std::string& line :
       {std::string(""), std::string("{"), std::string("[]"), std::string("null"),
        std::string("{}"), std::string(R"({"command":7})"),
        std::string(R"({"command":"x","options":[]})"),
        std::string(R"({"command":"x","options":{"a":{}}})"), std::string("\xff\xfe"),
        std::string("{\"command\":\"\0\"", 14), std::string(60'000, '['),
        "{\"command\":\"" + std::string(limits::control_request_bytes_max, 'a') + "\"}"}) {
    EXPECT_FALSE(decode_request(line).has_value()) << line.substr(0, 40);
  }
  for (const std::string& line :
       {std::string("{}"), std::string(R"({"ok":1})"), std::string("x")}) {
    EXPECT_FALSE(decode_reply(line).has_value()) << line;
  }
  for (const char* line : {R"({"ok":false,"exit":0})", R"({"ok":false,"exit":4294967299})",
                           R"({"ok":false,"exit":1e300})"}) {
    EXPECT_EQ(std::get<ReplyFailed>(*decode_reply(line)).exit, 1) << line;
  }
}

class ControlServerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/repl_control_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
    path_ = name + "/t.sock";
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(dir_);
  }
  void start(ControlHandler handler, const std::string& group = "") {
    auto server =
        ControlServer::start({.socket_path = path_, .group = group}, std::move(handler), log_);
    ASSERT_TRUE(server.has_value()) << server.error().message;
    server_ = std::move(*server);
  }
  Fd raw() {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static std::string read_all(int fd) {
    std::string out;
    char chunk[4096];
    for (ssize_t n; (n = ::recv(fd, chunk, sizeof chunk, 0)) > 0;)
      out.append(chunk, static_cast<size_t>(n));
    return out;
  }
  static void send_all(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      text.remove_prefix(static_cast<size_t>(n));
    }
  }
  std::filesystem::path dir_;
  std::string path_;
  NullLog log_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlServerTest, ProgressThenDoneFromAnotherThread) {
  std::thread worker;
  start([&](Request request, Reply reply) {
    worker = std::thread([request, reply]() mutable {
      reply.progress(R"({"files_done":1})");
      reply.progress(R"({"files_done":2})");
      reply.done(R"({"tree":")" + request.tree + R"("})");
      reply.done("{}");  // the first one counts
    });
  });
  int steps = 0;
  const auto reply = ask(path_, {"verify", "idm", {}}, 10s, [&](const std::string&) { ++steps; });
  worker.join();
  ASSERT_TRUE(reply.has_value()) << reply.error().message;
  EXPECT_EQ(std::get<ReplyDone>(*reply).json, R"({"tree":"idm"})");
  EXPECT_EQ(steps, 2);
}

TEST_F(ControlServerTest, FailureCarriesItsExitStatus) {
  start([](Request, Reply reply) { reply.failed("peer mgmt2 is away", exit_peer_away); });
  const auto reply = ask(path_, {"wait", "idm", {}}, 10s);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(std::get<ReplyFailed>(*reply).exit, exit_peer_away);
  EXPECT_EQ(std::get<ReplyFailed>(*reply).error, "peer mgmt2 is away");
}

TEST_F(ControlServerTest, LargeReply) {
  const std::string big(limits::control_reply_bytes_max / 2, 'x');
  start([&](Request, Reply reply) { reply.done("\"" + big + "\""); });
  const auto reply = ask(path_, {"status", "", {}}, 30s);
  ASSERT_TRUE(reply.has_value()) << reply.error().message;
  EXPECT_EQ(std::get<ReplyDone>(*reply).json.size(), big.size() + 2);
}

TEST_F(ControlServerTest, ClientTimesOut) {
  std::mutex mutex;
  std::vector<Reply> kept;
  start([&](Request, Reply reply) {
    const std::lock_guard lock(mutex);
    kept.push_back(std::move(reply));
  });
  const auto reply = ask(path_, {"wait", "", {}}, 50ms);
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code, ErrorCode::timeout);
  // The client has gone: the work need not go on, and completing it does no harm, even after the
  // server.
  for (int i = 0; i < 500; ++i) {
    const std::lock_guard lock(mutex);
    if (!kept.empty() && kept[0].abandoned()) break;
    std::this_thread::sleep_for(10ms);
  }
  const std::lock_guard lock(mutex);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_TRUE(kept[0].abandoned());
  server_.reset();
  kept[0].done();
}

TEST_F(ControlServerTest, NobodyListens) {
  const auto reply = ask(path_, {"status", "", {}}, 1s);
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code, ErrorCode::not_found);
  EXPECT_NE(reply.error().message.find("systemctl start repl@TREE"), std::string::npos);
}

TEST_F(ControlServerTest, ServerStopsWhileAClientWaits) {
  std::atomic<bool> asked = false;
  std::vector<Reply> kept;
  start([&](Request, Reply reply) {
    kept.push_back(std::move(reply));
    asked = true;
  });
  std::thread stopper([&] {
    while (!asked) std::this_thread::sleep_for(1ms);
    server_.reset();
  });
  const auto reply = ask(path_, {"wait", "", {}}, 10s);
  stopper.join();
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code, ErrorCode::closed);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(ControlServerTest, StaleSocketIsReplacedLiveOneIsNot) {
  start([](Request, Reply reply) { reply.done(); });
  const auto second =
      ControlServer::start({.socket_path = path_, .group = ""}, [](Request, Reply) {}, log_);
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().message.find("another daemon"), std::string::npos);
  EXPECT_TRUE(ask(path_, {"status", "", {}}, 10s).has_value());
  server_.reset();
  {  // What a crash leaves behind.
    const Fd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  start([](Request, Reply reply) { reply.done(); });
  EXPECT_TRUE(ask(path_, {"status", "", {}}, 10s).has_value());
}

TEST_F(ControlServerTest, SomethingElseInItsPlaceIsLeftAlone) {
  {
    const Fd file(::open(path_.c_str(), O_CREAT | O_WRONLY, 0600));
  }
  EXPECT_FALSE(ControlServer::start(
                   {.socket_path = path_, .group = ""}, [](Request, Reply) {}, log_)
                   .has_value());
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(ControlServerTest, SocketIsPrivate) {
  const mode_t before = ::umask(0);
  start([](Request, Reply reply) { reply.done(); });
  ::umask(before);
  struct stat st{};
  ASSERT_EQ(::stat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
}

TEST_F(ControlServerTest, HostileRequests) {
  std::atomic<int> calls = 0;
  start([&](Request, Reply reply) {
    ++calls;
    reply.done();
  });
  for (const std::string& text :
       {std::string("garbage\n"), std::string("\n"), std::string("\0\0\0\n", 4),
        std::string(10'000, '[') + "\n", std::string("{\"command\":1}\n")}) {
    const Fd fd = raw();
    send_all(fd.get(), text);
    const auto reply = decode_reply(read_all(fd.get()));
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(std::get<ReplyFailed>(*reply).exit, exit_usage);
  }
  {  // Endless without a newline: refused at the bound.
    const Fd fd = raw();
    send_all(fd.get(), std::string(limits::control_request_bytes_max * 4, 'x'));
    EXPECT_NE(read_all(fd.get()).find("longer than"), std::string::npos);
  }
  {
    const Fd gone = raw();
  }  // connects and leaves
  {  // half a request, then gone
    const Fd fd = raw();
    send_all(fd.get(), "{\"comm");
  }
  EXPECT_EQ(calls, 0);
  // Two requests in one go: the first is served, the second is nobody's.
  const Fd fd = raw();
  send_all(fd.get(), "{\"command\":\"status\"}\n{\"command\":\"status\"}\n");
  EXPECT_TRUE(decode_reply(read_all(fd.get()).substr(0, 23)).has_value());
  EXPECT_EQ(calls, 1);
}

TEST_F(ControlServerTest, TooManyClientsAndSlowOnes) {
  start([](Request, Reply reply) { reply.done(); });
  std::vector<Fd> silent;
  for (size_t i = 0; i < limits::control_clients_max; ++i) silent.push_back(raw());
  const auto refused = ask(path_, {"status", "", {}}, 10s);
  ASSERT_TRUE(refused.has_value()) << refused.error().message;
  EXPECT_NE(std::get<ReplyFailed>(*refused).error.find("too many"), std::string::npos);
  // Those who say nothing are told so and leave their places.
  EXPECT_NE(read_all(silent[0].get()).find("no whole request came in time"), std::string::npos);
  EXPECT_TRUE(std::holds_alternative<ReplyDone>(*ask(path_, {"status", "", {}}, 10s)));
}

TEST_F(ControlServerTest, AClientThatDoesNotReadIsDropped) {
  std::mutex mutex;
  std::optional<Reply> kept;
  start([&](Request, Reply reply) {
    const std::lock_guard lock(mutex);
    kept = std::move(reply);
  });
  const Fd fd = raw();
  send_all(fd.get(), "{\"command\":\"verify\"}\n");
  const std::string large = "\"" + std::string(64 * 1024, 'x') + "\"";
  bool dropped = false;
  for (int i = 0; i < 5000 && !dropped; ++i) {
    {  // not held while this sleeps: the handler wants it
      const std::lock_guard lock(mutex);
      if (kept) {
        kept->progress(large);
        dropped = kept->abandoned();
      }
    }
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_TRUE(dropped);
}

TEST_F(ControlServerTest, OthersMayOnlyLook) {
  // CI is root.
  ASSERT_TRUE(::geteuid() == 0 || std::getenv("CI") == nullptr);
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  std::atomic<int> calls = 0;
  start([&](Request, Reply reply) {
    ++calls;
    reply.done();
  });
  // As if by the group: the mode lets the other user connect.
  std::filesystem::permissions(dir_, std::filesystem::perms::all);
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
  const auto as_nobody = [&](const char* command) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) _exit(99);
      const auto reply = ask(path_, {command, "", {}}, 10s);
      if (!reply) _exit(98);
      const auto* failed = std::get_if<ReplyFailed>(&*reply);
      _exit(failed ? failed->exit : 0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(as_nobody("status"), 0);
  EXPECT_EQ(as_nobody("wait"), 0);
  for (const char* command : {"role", "diff", "catchup_plan"}) {
    EXPECT_EQ(as_nobody(command), 0) << command;
  }
  for (const char* command : {"promote", "demote", "switchover", "catchup", "pause", "resume"}) {
    EXPECT_EQ(as_nobody(command), exit_refused) << command;
  }
  EXPECT_EQ(as_nobody("approve"), exit_refused);
  EXPECT_EQ(as_nobody("verify"), exit_refused);
  EXPECT_EQ(calls, 5);
}

}  // namespace
}  // namespace repl::cli
