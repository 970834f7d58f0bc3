#include "transport/ssh.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cstdlib>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/unit/transport/peer.h"

namespace repl::transport {
namespace {

using namespace std::chrono_literals;

TEST(SshArguments, QuoteEveryWordForTheRemoteShell) {
  EXPECT_EQ(shell_quote("/usr/bin/repl"), "/usr/bin/repl");
  EXPECT_EQ(shell_quote(""), "''");
  EXPECT_EQ(shell_quote("a b; rm -rf $(x) `y` 'z'\n"), "'a b; rm -rf $(x) `y` '\\''z'\\''\n'");
  SshTarget target{.user = "root", .host = "mgmt2", .port = 2222, .serve_args = {"--root", "/a b"}};
  auto arguments = ssh_arguments(target);
  ASSERT_TRUE(arguments);
  EXPECT_EQ(arguments->back(), "repl serve --stdio --root '/a b'");
  EXPECT_EQ((*arguments)[arguments->size() - 2], "root@mgmt2");
  EXPECT_EQ((*arguments)[arguments->size() - 3], "--");
  for (const std::string host : {"", "-oProxyCommand=x", "a\nb"}) {
    EXPECT_FALSE(ssh_arguments({.host = host})) << host;
  }
  EXPECT_FALSE(ssh_arguments({.user = "-l", .host = "x"}));
}

// The remote side of the test below: started by sshd as `REPL serve --stdio`, with the wire on 0
// and 3.
TEST(SshPeer, DISABLED_EchoOnStdio) {
  SystemClock clock;
  NullLog log;
  IoThread io;
  auto channel = make_stdio_channel(io, Fd(::dup(0)), Fd(3),
                                    {.peer_name = "client", .clock = clock, .log = log});
  ASSERT_TRUE(channel);
  Peer peer(*channel);
  while (peer->open()) {
    if (!peer.wait([&] {
          peer.got = peer->receive();
          return !peer.got.empty() || !peer->open();
        })) {
      break;
    }
    for (Message& message : peer.got) {
      if (!peer.push(message)) break;
    }
  }
}

class Ssh : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access("/usr/sbin/sshd", X_OK) != 0 || ::access("/usr/bin/ssh", X_OK) != 0) {
      ASSERT_EQ(std::getenv("CI"), nullptr) << "CI installs OpenSSH, and it is not there";
      GTEST_SKIP() << "no OpenSSH here";
    }
    char name[] = "/tmp/repl-ssh-XXXXXX";
    dir = ::mkdtemp(name);
    ASSERT_EQ(run({"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir + "/host"}),
              0);
    ASSERT_EQ(run({"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir + "/user"}),
              0);
    ASSERT_EQ(
        run({"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir + "/stranger"}), 0);
    std::filesystem::copy(dir + "/user.pub", dir + "/authorized");
    std::filesystem::create_directories("/run/sshd");
    port = free_port();
    std::ofstream(dir + "/config") << "ListenAddress 127.0.0.1\nPort " << port << "\nHostKey "
                                   << dir << "/host\nAuthorizedKeysFile " << dir
                                   << "/authorized\nUsePAM no\nStrictModes no\nPidFile none\n"
                                      "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                                      "PermitRootLogin prohibit-password\n";
    // A space and a quote in its path: the remote shell must see one word.
    remote = dir + "/the repl's";
    std::ofstream(remote)
        << "#!/bin/sh\n[ \"$1 $2\" = 'serve --stdio' ] || exit 9\nexec 3>&1 1>&2\nexec "
        << std::filesystem::read_symlink("/proc/self/exe").string()
        << " --gtest_also_run_disabled_tests --gtest_filter=SshPeer.DISABLED_EchoOnStdio\n";
    ::chmod(remote.c_str(), 0755);
    sshd = start({"/usr/sbin/sshd", "-D", "-f", dir + "/config", "-E", dir + "/log"});
    ASSERT_TRUE(reachable()) << "sshd did not come up";
  }
  void TearDown() override {
    if (sshd > 0) {
      ::kill(sshd, SIGTERM);
      ::waitpid(sshd, nullptr, 0);
    }
    // RACE: sshd's processes for our connections outlive it for a moment, and make the log again.
    std::error_code busy = std::make_error_code(std::errc::directory_not_empty);
    for (int tries = 0; !dir.empty() && busy && tries < 100; ++tries) {
      std::filesystem::remove_all(dir, busy);
      if (busy) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_TRUE(dir.empty() || !busy) << busy.message();
  }
  static pid_t start(const std::vector<std::string>& words) {
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    return pid;
  }
  static int run(const std::vector<std::string>& words) {
    int status = -1;
    ::waitpid(start(words), &status, 0);
    return status;
  }
  static sockaddr_in loopback(uint16_t port_wanted) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_wanted);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  static uint16_t free_port() {
    const Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    return ntohs(address.sin_port);
  }
  bool reachable() const {
    for (int i = 0; i < 200; ++i) {
      const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in address = loopback(port);
      if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
        return true;
      std::this_thread::sleep_for(50ms);
    }
    return false;
  }
  SshTarget target(const std::string& key) {
    return {.user = "root",
            .host = "127.0.0.1",
            .port = port,
            .identity_file = dir + "/" + key,
            .ssh_args = {"-F", "/dev/null", "-o", "IdentitiesOnly=yes", "-o",
                         "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + dir + "/known"},
            .remote_repl = remote};
  }
  std::shared_ptr<Channel> connect(const SshTarget& where) {
    auto channel = make_ssh_channel(io, where, {.peer_name = "mgmt2", .clock = clock, .log = log});
    EXPECT_TRUE(channel);
    return *channel;
  }

  std::string dir;
  std::string remote;
  uint16_t port = 0;
  pid_t sshd = -1;
  SystemClock clock;
  NullLog log;
  IoThread io;
};

TEST_F(Ssh, CarriesMessagesBinaryClean) {
  Peer peer(connect(target("user")));
  std::string bytes(limits::write_bytes_min, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  constexpr uint64_t chunks = 1000;
  for (uint64_t i = 0; i < chunks; ++i) {
    ASSERT_TRUE(peer.push(StageData{StageId{{1, 1}}, i, bytes})) << peer->close_reason().message;
    for (Message& message : peer->receive()) peer.got.push_back(std::move(message));
  }
  ASSERT_TRUE(peer.take(chunks)) << peer->close_reason().message;
  for (uint64_t i = 0; i < chunks; ++i) {
    const auto& data = std::get<StageData>(peer.got[i]);
    ASSERT_EQ(data.offset, i);
    ASSERT_EQ(data.bytes, bytes);
  }
  peer->close("done");
}

TEST_F(Ssh, SaysWhatSshSaid) {
  Peer stranger(connect(target("stranger")));
  ASSERT_TRUE(stranger.wait_closed());
  EXPECT_NE(stranger->close_reason().message.find("Permission denied"), std::string::npos)
      << stranger->close_reason().message;
  SshTarget nowhere = target("user");
  nowhere.remote_repl = "/nonexistent/repl";
  Peer lost(connect(nowhere));
  ASSERT_TRUE(lost.wait_closed());
  EXPECT_NE(lost->close_reason().message.find("status 127"), std::string::npos)
      << lost->close_reason().message;
  SshTarget no_ssh = target("user");
  no_ssh.program = "/nonexistent/ssh";
  EXPECT_FALSE(make_ssh_channel(io, no_ssh, {.peer_name = "x", .clock = clock, .log = log}));
}

TEST_F(Ssh, AnEndingThreadReapsItsChildren) {
  const auto children = [] {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? info.si_pid : -1;
  };
  {
    IoThread brief;
    auto channel =
        make_ssh_channel(brief, target("user"), {.peer_name = "x", .clock = clock, .log = log});
    ASSERT_TRUE(channel);
  }
  EXPECT_EQ(children(), 0) << "no zombie; sshd itself still runs";
}

}  // namespace
}  // namespace repl::transport
