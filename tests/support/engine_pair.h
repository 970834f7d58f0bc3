// engine_pair.h: two real engines in one process, joined by an in-memory channel whose messages
// pass through the codec; for tests of the whole path without processes.
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
#include "engine/index/index.h"
#include "engine/model/hash.h"
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
    return ask<run::WaitAnswer>(
        [&](auto& engine, auto answer) { engine.request_wait(request, answer); });
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
      if (answer.result != run::WaitResult::not_primary || std::chrono::steady_clock::now() > until)
        return answer;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  // Where both stand, for a failure.
  [[nodiscard]] std::string story() {
    std::string text;
    for (EngineNode* node : {&a, &b}) {
      const run::TreeFacts facts = node->facts();
      text += fmt::format("\n{}: {} cut {} reign {} held {}", facts.node, facts.state,
                          facts.position.cut.value, to_hex(facts.position.reign), facts.held_keys);
      for (const std::string& line : facts.held_paths) text += "\n  held " + line;
      for (const std::string& line : facts.errors) text += "\n  error " + line;
      for (const run::PeerFacts& peer : facts.peers) {
        text += fmt::format("\n  peer {} {} applied {} durable {} files {}/{} {} {}", peer.name,
                            peer.phase, peer.applied.value, peer.durable.value, peer.files_done,
                            peer.files_total, peer.reason, peer.last_error);
      }
    }
    const run::VerifyAnswer verified = a.verify(false);
    text += fmt::format("\nindexes: outcome {}", static_cast<int>(verified.outcome));
    return text;
  }
  // What the indexes say of the paths that differ. Ends both engines.
  [[nodiscard]] std::string autopsy() {
    const auto left = a.tree();
    const auto right = b.tree();
    a.stop();
    b.stop();
    std::string text;
    for (EngineNode* node : {&a, &b}) {
      auto index = Index::open(node->options.state_dir + "/index", fingerprint_seed("t"));
      if (!index) return text + index.error().message;
      std::set<std::string> paths;
      for (const auto& [path, line] : left) {
        if (!right.contains(path) || right.at(path) != line) paths.insert(path);
      }
      for (const auto& [path, line] : right) {
        if (!left.contains(path)) paths.insert(path);
      }
      for (const std::string& path : paths) {
        const auto key = (*index)->key_of_path(path);
        const auto entry = key ? (*index)->get(*key) : std::nullopt;
        text +=
            fmt::format("\n{} index: {} {}", node->options.node, path, entry ? "known" : "unknown");
        if (!entry) continue;
        text += fmt::format(" type {} link {:x} names {} cut {} inode {}",
                            static_cast<int>(entry->attr.type), entry->attr.link.value,
                            entry->attr.link_names, entry->cut.value, entry->local.inode);
        for (const Key& other : (*index)->keys_of_link(entry->attr.link)) {
          text += " with " + (*index)->path_of(other).value_or("?");
        }
      }
      for (const std::string& fault : (*index)->check()) text += "\n  index fault: " + fault;
    }
    return text;
  }
  [[nodiscard]] std::string difference() const { return test::difference(a.tree(), b.tree()); }
};

}  // namespace repl::test
