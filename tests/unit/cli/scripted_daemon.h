// scripted_daemon.h: daemons that answer what a test tells them, and a command that asks them.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "cli/control_server.h"
#include "cli/json.h"
#include "cli/options.h"
#include "engine/base/fd.h"

namespace repl::cli {

// What a daemon answers to one request: progress, then the result, or a failure where `exit` is
// not 0.
struct ScriptedReply {
  std::vector<std::string> progress;
  std::string result = "{}";
  std::string error = {};
  int exit = 0;
  int failures = -1;  // then the result; -1: always
};

class ScriptedDaemonTest : public testing::Test {
 protected:
  struct Ran {
    int exit = -1;
    std::string out, err;
  };

  void SetUp() override {
    std::string name = "/tmp/repl_commands_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
    global_.runtime_dir = name;
    global_.config_file = name + "/repl.toml";
    global_.node = "a";
  }
  void TearDown() override {
    servers_.clear();
    std::filesystem::remove_all(dir_);
  }

  // The daemon of `tree`; without an answer for a command it says that it does not know it.
  void daemon(const std::string& tree, std::map<std::string, ScriptedReply> answers) {
    auto server = ControlServer::start(
        {.socket_path = dir_ + "/" + tree + ".sock", .group = ""},
        [this, answers = std::move(answers)](const Request& request, Reply reply) mutable {
          {
            const std::lock_guard lock(mutex_);
            asked_.push_back(request);
          }
          const auto found = answers.find(request.command);
          if (found == answers.end()) return reply.failed("does not know the command", 2);
          for (const std::string& progress : found->second.progress) reply.progress(progress);
          const bool fails = found->second.exit != 0 && found->second.failures != 0;
          if (fails && found->second.failures > 0) --found->second.failures;
          if (fails) return reply.failed(found->second.error, found->second.exit);
          reply.done(found->second.result);
        },
        log_);
    ASSERT_TRUE(server.has_value()) << server.error().message;
    servers_.push_back(std::move(*server));
  }
  // All that was asked, in order: "TREE COMMAND key=value ...".
  std::vector<std::string> asked() {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const Request& request : asked_) {
      std::string line = request.tree + " " + request.command;
      for (const auto& [key, value] : request.options) line.append(" " + key + "=" + value);
      out.push_back(std::move(line));
    }
    return out;
  }
  // A configuration of the nodes a, b, c: trees "one" and "two" on a and b, "three" on a and c,
  // "four" on b and c. This is node a.
  void configure() {
    std::ofstream file(global_.config_file);
    for (const char* node : {"a", "b", "c"}) {
      file << "[node." << node << "]\naddress = \"" << node
           << "\"\nfingerprint = \"sha256:" << std::string(64, node[0]) << "\"\n";
    }
    int port = 7400;
    for (const auto& [tree, nodes] : std::map<std::string, std::string>{{"one", R"("a", "b")"},
                                                                        {"two", R"("b", "a")"},
                                                                        {"three", R"("a", "c")"},
                                                                        {"four", R"("b", "c")"}}) {
      file << "[tree." << tree << "]\nroot = \"/srv/" << tree << "\"\nnodes = [" << nodes
           << "]\nport = " << port++ << "\n";
    }
  }

  // With standard input from `input` (a descriptor; -1: /dev/null), what it prints caught.
  static Ran run(const std::function<int()>& command, int input = -1) {
    const Fd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const Fd before(::dup(STDIN_FILENO));
    ::dup2(input >= 0 ? input : nothing.get(), STDIN_FILENO);
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Ran ran;
    ran.exit = command();
    ran.out = testing::internal::GetCapturedStdout();
    ran.err = testing::internal::GetCapturedStderr();
    ::dup2(before.get(), STDIN_FILENO);
    return ran;
  }
  // The JSON objects that were printed, one a line.
  static std::vector<Json> lines(const std::string& out) {
    std::vector<Json> values;
    std::istringstream in(out);
    for (std::string line; std::getline(in, line);) values.push_back(parse_json(line));
    return values;
  }

  std::string dir_;
  GlobalOptions global_;
  NullLog log_;
  std::mutex mutex_;
  std::vector<Request> asked_;
  std::vector<std::unique_ptr<ControlServer>> servers_;
};

}  // namespace repl::cli
