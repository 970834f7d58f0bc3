// `repl diverged` without a daemon: a configuration, a tree, a store, and the command.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "cli/command_line.h"
#include "cli/control_client.h"
#include "cli/control_server.h"
#include "cli/exit_codes.h"
#include "cli/json.h"
#include "cli/status_view.h"
#include "engine/apply/diverged_files.h"
#include "engine/apply/diverged_store.h"
#include "engine/apply/diverged_view.h"
#include "tests/unit/io/scratch.h"

namespace repl::cli {
namespace {

namespace fs = std::filesystem;
namespace diverged = apply::diverged;

class DivergedCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* dir : {"tree", "tree/d", "state/idm/staging", "run", "to"})
      fs::create_directories(scratch.path(dir));
    ::chmod(scratch.path("run").c_str(), 0700);
    const std::string fingerprint = "\"sha256:" + std::string(64, 'a') + "\"";
    std::ofstream config(scratch.path("repl.toml"));
    for (const char* node : {"mgmt1", "mgmt2"})
      config << "[node." << node << "]\naddress = \"" << node << "\"\nfingerprint = " << fingerprint
             << "\n";
    config << "[tree.idm]\nroot = \"" << scratch.path("tree")
           << "\"\nnodes = [\"mgmt1\", \"mgmt2\"]\nport = 7421\n";
    config.close();
    area = std::move(*io::open_root(scratch.path("state/idm/staging")));
    tree = std::move(*io::open_root(scratch.path("tree")));
  }
  // d/a\n changed, gone deleted; finished.
  std::string diverge(int64_t unix_seconds = 1'800'000'000) {
    scratch.write("tree/d/a\n", "mine");
    auto store = *diverged::Store::begin(area.get(), {.tree = "idm",
                                                      .node = "mgmt1",
                                                      .from_peer = "mgmt2",
                                                      .reason = "why",
                                                      .common_cut = CutNumber{3},
                                                      .unix_seconds = unix_seconds});
    const Fd d = std::move(*io::open_root(scratch.path("tree/d")));
    EXPECT_TRUE(store->keep({.key = {DirId{2}, "a\n"}, .path = "d/a\n"}, d.get(), "a\n"));
    EXPECT_TRUE(store->note_removed(
        {.change = diverged::Change::deleted, .key = {root_dir, "gone"}, .path = "gone"}));
    fs::remove(scratch.path("tree/d/a\n"));
    scratch.write("tree/d/a\n", "theirs");
    EXPECT_TRUE(store->settle([](const diverged::Item&) -> Result<diverged::Shown> {
      return diverged::Shown::replaced;
    }));
    return store->id();
  }
  int run_repl(std::vector<std::string> arguments) {
    std::vector<std::string> all = {"repl",
                                    "--config",
                                    scratch.path("repl.toml"),
                                    "--node",
                                    "mgmt1",
                                    "--state-dir",
                                    scratch.path("state"),
                                    "--runtime-dir",
                                    scratch.path("run"),
                                    "diverged"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& argument : all) argv.push_back(argument.data());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int exit = run(static_cast<int>(argv.size()), argv.data());
    std::fflush(stdout);
    out = ::testing::internal::GetCapturedStdout();
    err = ::testing::internal::GetCapturedStderr();
    return exit;
  }
  size_t stores() { return diverged::list_stores(area.get())->size(); }

  test::ScratchDir scratch;
  Fd area, tree;
  std::string out, err;
};

TEST_F(DivergedCommand, ListSaysWhatIsThere) {
  EXPECT_EQ(run_repl({"list", "idm"}), exit_ok);
  EXPECT_EQ(out, "nothing diverged\n");
  const std::string id = diverge();
  EXPECT_EQ(run_repl({"list", "idm"}), exit_ok) << err;
  EXPECT_NE(out.find("mgmt2"), std::string::npos);
  EXPECT_NE(out.find("d/a\\x0a\n"), std::string::npos) << out;
  EXPECT_EQ(run_repl({"list", "idm", "--json"}), exit_ok);
  const Json json = parse_json(out);
  EXPECT_EQ(json["id"], id);
  EXPECT_EQ(json["from"], "mgmt2");
  EXPECT_EQ(json["when"], "2027-01-15T08:00:00Z");
  EXPECT_TRUE(json["damage"].empty());
  ASSERT_EQ(json["items"].size(), 2u);
  EXPECT_EQ(json["items"][0]["change"], "changed");
  EXPECT_EQ(json["items"][0]["size"], 4);
  EXPECT_EQ(json["items"][1]["change"], "deleted");
  EXPECT_TRUE(fs::exists(json["items"][0]["kept"].get<std::string>()));
}

TEST_F(DivergedCommand, ListTellsDamage) {
  const std::string id = diverge();
  fs::remove(scratch.path("state/idm/staging/diverged/" + id + "/objects/1"));
  EXPECT_EQ(run_repl({"list", "idm"}), exit_failed);
  EXPECT_NE(out.find("object of item 1 is missing"), std::string::npos) << out;
}

TEST_F(DivergedCommand, DiffSaysHowTheTreeDiffers) {
  diverge();
  EXPECT_EQ(run_repl({"diff", "idm", "--json", "d"}), exit_ok) << err;
  const Json json = parse_json(out);
  EXPECT_EQ(json["now"], "differs");
  EXPECT_EQ(json["differs"][0], "content");
  EXPECT_EQ(json["size_now"], 6);
  EXPECT_EQ(run_repl({"diff", "idm"}), exit_ok);
  EXPECT_NE(out.find("content"), std::string::npos) << out;
  EXPECT_NE(out.find("kept as "), std::string::npos) << out;
  EXPECT_NE(out.find("gone: deleted, and still gone"), std::string::npos) << out;
}

TEST_F(DivergedCommand, RestoreGoesIntoATreeOnlyOnThePrimary) {
  diverge();
  EXPECT_EQ(run_repl({"restore", "idm", "--all", "--replace"}), exit_not_running);
  EXPECT_NE(err.find("--to DIR"), std::string::npos) << err;
  EXPECT_EQ(scratch.read("tree/d/a\n"), "theirs");
  EXPECT_EQ(run_repl({"restore", "idm", "--all", "--to", scratch.path("tree/d")}), exit_usage);
  EXPECT_EQ(run_repl({"restore", "idm", "d/a\\x0a", "--to", scratch.path("to")}), exit_ok) << err;
  EXPECT_EQ(scratch.read("to/d/a\n"), "mine");
  scratch.write("to/d/a\n", "other");
  EXPECT_EQ(run_repl({"restore", "idm", "--item", "1", "--to", scratch.path("to"), "--json"}),
            exit_failed);
  EXPECT_EQ(parse_json(out)["outcome"], "in_the_way");
  EXPECT_EQ(
      run_repl({"restore", "idm", scratch.path("tree/d"), "--replace", "--to", scratch.path("to")}),
      exit_ok)
      << err;
  EXPECT_EQ(scratch.read("to/d/a\n"), "mine");
  EXPECT_EQ(run_repl({"restore", "idm", "nowhere", "--to", scratch.path("to")}), exit_failed);
}

TEST_F(DivergedCommand, OnThePrimaryItGoesIntoTheTree) {
  diverge();
  std::string role = "secondary";
  NullLog log;
  const auto daemon = ControlServer::start(
      {.socket_path = control_socket_path(scratch.path("run"), "idm")},
      [&](const Request&, Reply reply) {
        TreeStatus status;
        status.tree = "idm";
        status.role = role;
        reply.done(to_json(status));
      },
      log);
  ASSERT_TRUE(daemon) << daemon.error().message;
  EXPECT_EQ(run_repl({"restore", "idm", "d", "--replace"}), exit_refused);
  EXPECT_NE(err.find("not the primary"), std::string::npos) << err;
  EXPECT_EQ(scratch.read("tree/d/a\n"), "theirs");
  role = "primary";
  EXPECT_EQ(run_repl({"restore", "idm", "d"}), exit_failed) << "something is in the way";
  EXPECT_EQ(run_repl({"restore", "idm", "d", "--replace"}), exit_ok) << err;
  EXPECT_EQ(scratch.read("tree/d/a\n"), "mine");
  EXPECT_EQ(run_repl({"restore", "idm", "d", "--replace"}), exit_ok);
  EXPECT_NE(out.find("there already"), std::string::npos) << out;
  EXPECT_EQ(run_repl({"list", "idm", "--json"}), exit_ok);
  const Json items = parse_json(out)["items"];
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[2]["change"], "displaced");
  EXPECT_EQ(items[2]["path"], "d/a\\x0a");
}

TEST_F(DivergedCommand, DiscardIsConfirmed) {
  const std::string id = diverge();
  const std::string second = diverge(1'800'000'001);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(::dup2(nothing, STDIN_FILENO), 0);
  EXPECT_EQ(run_repl({"discard", "idm", "--all", "--id", id}), exit_usage);
  EXPECT_EQ(stores(), 2u);
  EXPECT_EQ(run_repl({"discard", "idm", "--all", "--yes"}), exit_usage) << "which of the two?";
  EXPECT_NE(err.find(second), std::string::npos) << err;
  EXPECT_EQ(run_repl({"discard", "idm", "--all", "--id", id, "--yes"}), exit_ok) << err;
  EXPECT_EQ(stores(), 1u);
  EXPECT_EQ(run_repl({"discard", "idm", "gone", "--yes"}), exit_ok) << err;
  EXPECT_EQ(run_repl({"discard", "idm", "d", "--yes", "--json"}), exit_ok) << err;
  EXPECT_EQ(parse_json(out)["store_removed"], true);
  EXPECT_EQ(stores(), 0u);
  EXPECT_EQ(run_repl({"list", "idm", "--id", id}), exit_failed);
}

TEST_F(DivergedCommand, WhatIsWrongWithTheConfigurationIsAUsageError) {
  EXPECT_EQ(run_repl({"list", "other"}), exit_usage);
  EXPECT_EQ(run_repl({"list", "idm", "--node", "mgmt3"}), exit_usage);
}

}  // namespace
}  // namespace repl::cli
