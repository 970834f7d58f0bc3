// engine_pair.h: two real engines in one process, joined by an in-memory channel whose messages pass through the
// codec; for tests of the whole path without processes.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "cli/channel_link.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/run/tree_engine.h"
#include "tests/support/tree_digest.h"
#include "transport/channel.h"

namespace repl::test {

class StderrLog final : public Log {
 public:
  void write(LogLevel level, std::string_view line) override {
    if (enabled(level)) fmt::print(stderr, "    {}\n", line);
  }
  [[nodiscard]] bool enabled(LogLevel) const override { return std::getenv("REPL_LOG") != nullptr; }
};

struct Scratch {
  std::string path;
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "repl-test.XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

class EngineNode {
 public:
  EngineNode(const std::string& base, std::string name) : name_(std::move(name)) {
    options.name = "t";
    options.node = name_;
    options.nodes = {"a", "b"};
    options.root = base + "/" + name_ + "/root";
    options.state_dir = base + "/" + name_ + "/state";
    std::filesystem::create_directories(options.root);
  }
  ~EngineNode() { stop(); }
  EngineNode(const EngineNode&) = delete;
  EngineNode& operator=(const EngineNode&) = delete;

  [[nodiscard]] Status start() {
    auto opened = run::TreeEngine::open(options, clock_, log_);
    if (!opened) return fail(opened.error());
    engine_ = std::move(*opened);
    thread_ = std::thread([this] { ended = engine_->run(); });
    return {};
  }
  void stop() {
    if (!engine_) return;
    engine_->stop();
    thread_.join();
    engine_.reset();
  }
  [[nodiscard]] bool running() const { return engine_ != nullptr; }
  [[nodiscard]] run::TreeEngine& engine() { return *engine_; }

  template <typename Answer, typename Ask>
  Answer ask(Ask request) {
    auto promise = std::make_shared<std::promise<Answer>>();
    auto future = promise->get_future();
    request(*engine_, [promise](Answer answer) { promise->set_value(std::move(answer)); });
    return future.get();
  }
  [[nodiscard]] run::TreeFacts facts() {
    return ask<run::TreeFacts>([](auto& engine, auto answer) { engine.request_facts(answer); });
  }
  [[nodiscard]] run::WaitAnswer wait(run::WaitRequest request) {
    return ask<run::WaitAnswer>([&](auto& engine, auto answer) { engine.request_wait(request, answer); });
  }
  [[nodiscard]] run::VerifyAnswer verify(bool full) {
    return ask<run::VerifyAnswer>(
        [&](auto& engine, auto answer) { engine.request_verify({.full = full}, answer); });
  }
  [[nodiscard]] std::map<std::string, std::string> tree() const {
    return describe_tree(options.root, {run::staging_name});
  }

  run::TreeOptions options;
  Status ended;

 private:
  std::string name_;
  SystemClock clock_;
  StderrLog log_;
  std::unique_ptr<run::TreeEngine> engine_;
  std::thread thread_;
};

struct EnginePair {
  Scratch scratch;
  EngineNode a{scratch.path, "a"};
  EngineNode b{scratch.path, "b"};
  std::shared_ptr<cli::ChannelLink> link;

  void connect() {
    transport::ChannelPair pair = transport::make_memory_pair(true);
    link = std::make_shared<cli::ChannelLink>(std::move(pair.left), "b");
    a.engine().attach(link);
    b.engine().attach(std::make_shared<cli::ChannelLink>(std::move(pair.right), "a"));
  }
  void cut() {
    if (link) link->close("the test cut the link");
    link.reset();
  }
  void start() {
    ASSERT_TRUE(a.start());
    ASSERT_TRUE(b.start());
    connect();
  }
  [[nodiscard]] run::WaitAnswer settle(int64_t timeout_ms = 60'000) {
    // A primary is only there once both have met.
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
      const run::WaitAnswer answer =
          a.wait({.level = AckLevel::durable, .timeout_ms = timeout_ms, .wait_for_peers = true});
      if (answer.result != run::WaitResult::not_primary || std::chrono::steady_clock::now() > until) return answer;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  [[nodiscard]] std::string difference() const { return test::difference(a.tree(), b.tree()); }
};

}  // namespace repl::test
