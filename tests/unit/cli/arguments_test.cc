#include "cli/arguments.h"

#include <gtest/gtest.h>

#include "cli/exit_codes.h"

namespace repl::cli {
namespace {

template <typename T>
T parsed(const std::vector<std::string>& arguments) {
  Command command = parse_arguments(arguments);
  if (const auto* print = std::get_if<PrintAndExit>(&command)) {
    ADD_FAILURE() << print->text;
    return {};
  }
  return std::get<T>(command);
}
PrintAndExit printed(const std::vector<std::string>& arguments) {
  const Command command = parse_arguments(arguments);
  const auto* print = std::get_if<PrintAndExit>(&command);
  EXPECT_NE(print, nullptr);
  return print ? *print : PrintAndExit{};
}

TEST(Arguments, Mirror) {
  const auto o = parsed<MirrorOptions>(
      {"mirror", "--once",         "--delete", "--exclude",     "*.tmp",       "--include",
       "keep",   "--filter",       "- x",      "--exclude",     "+ y",         "--bwlimit",
       "1M",     "--ssh-port",     "2222",     "--ssh-option",  "A=b",         "--ssh-option",
       "C=d",    "--ssh-identity", "/k",       "--remote-repl", "/opt/repl",   "--state-dir",
       "/s",     "--json",         "src",      "me@host:/dst",  "--log-level", "debug"});
  EXPECT_EQ(o.source, "src");
  EXPECT_EQ(o.destination.user, "me");
  EXPECT_EQ(o.destination.host, "host");
  EXPECT_EQ(o.destination.path, "/dst");
  EXPECT_TRUE(o.once);
  EXPECT_TRUE(o.delete_extra);
  EXPECT_TRUE(o.json);
  EXPECT_EQ(o.bandwidth_bytes_per_second, 1u << 20);
  EXPECT_EQ(o.ssh.port, 2222);
  EXPECT_EQ(o.ssh.options, (std::vector<std::string>{"A=b", "C=d"}));
  EXPECT_EQ(o.remote_repl, "/opt/repl");
  EXPECT_EQ(o.global.state_dir, "/s");
  EXPECT_EQ(o.global.log_level, LogLevel::debug);
  ASSERT_EQ(o.rules.size(), 4u) << "in the order of the command line";
  EXPECT_EQ(o.rules[0].pattern, "*.tmp");
  EXPECT_TRUE(o.rules[1].include);
  EXPECT_EQ(o.rules[2].pattern, "x");
  EXPECT_TRUE(o.rules[3].include);
  EXPECT_EQ(o.rules[3].pattern, "y");
}

TEST(Arguments, MirrorEnds) {
  EXPECT_EQ(parse_mirror_end("/a:b").host, "");
  EXPECT_EQ(parse_mirror_end("./a:b").host, "");
  EXPECT_EQ(parse_mirror_end("h:").path, ".");
  EXPECT_EQ(parse_mirror_end("[::1]:/x").host, "::1");
  EXPECT_EQ(parse_mirror_end("u@[::1]:/x").user, "u");
  EXPECT_EQ(parse_mirror_end("-oProxyCommand=x:/y").host, "") << "never an option of ssh";
  EXPECT_EQ(parse_mirror_end("dir").path, "dir");
}

TEST(Arguments, Others) {
  EXPECT_EQ(parsed<RunRequest>({"run", "a", "b", "--node", "n"}).trees.size(), 2u);
  EXPECT_EQ(parsed<RunRequest>({"--node", "n", "run", "a"}).global.node, "n");
  EXPECT_TRUE(parsed<StatusOptions>({"status", "--json", "--watch"}).watch);
  EXPECT_TRUE(parsed<VerifyOptions>({"verify", "t", "--sha256"}).sha256);
  const auto wait = parsed<WaitOptions>({"wait", "t", "--for", "applied", "--timeout", "1.5"});
  EXPECT_EQ(wait.level, "applied");
  EXPECT_EQ(wait.timeout_seconds, 1.5);
  EXPECT_EQ(parsed<ApproveOptions>({"approve", "t"}).tree, "t");
  EXPECT_TRUE(parsed<DoctorOptions>({"doctor", "--json"}).json);
  EXPECT_EQ(parsed<ConfigCheckOptions>({"config", "check", "--config", "/x"}).global.config_file,
            "/x");
  EXPECT_EQ(key_file(parsed<KeygenOptions>({"keygen", "--state-dir", "/s"}).global),
            "/s/identity.key");
  (void)parsed<FingerprintOptions>({"fingerprint"});
}

TEST(Arguments, Roles) {
  EXPECT_EQ(parsed<RoleOptions>({"role", "t", "--json"}).tree, "t");
  const auto promote = parsed<PromoteOptions>({"promote", "a", "b", "--force", "--node", "n"});
  EXPECT_EQ(promote.trees.size(), 2u);
  EXPECT_TRUE(promote.force && !promote.dry_run);
  EXPECT_EQ(promote.global.node, "n");
  EXPECT_TRUE(parsed<DemoteOptions>({"demote", "--dry-run"}).dry_run);
  const auto switchover = parsed<SwitchoverOptions>(
      {"switchover", "t", "--to", "b", "--timeout", "1.5", "--dry-run", "--json"});
  EXPECT_EQ(switchover.to, "b");
  EXPECT_EQ(switchover.timeout_seconds, 1.5);
  EXPECT_TRUE(switchover.dry_run && switchover.json);
  EXPECT_EQ(parsed<SwitchoverOptions>({"switchover", "--to", "b"}).timeout_seconds, 60);
  const auto catchup = parsed<CatchupOptions>(
      {"catchup", "--from", "b", "t", "u", "--yes", "--certificate", "/c", "--json"});
  EXPECT_EQ(catchup.from, "b");
  EXPECT_EQ(catchup.trees, (std::vector<std::string>{"t", "u"}));
  EXPECT_TRUE(catchup.yes && catchup.json && !catchup.dry_run);
  EXPECT_EQ(catchup.certificate, "/c");
  EXPECT_TRUE(parsed<CatchupOptions>({"catchup", "--from", "b", "--dry-run"}).dry_run);
  EXPECT_EQ(parsed<DiffOptions>({"diff", "t", "--peer", "b"}).peer, "b");
  EXPECT_FALSE(parsed<PauseOptions>({"pause", "t"}).resume);
  EXPECT_TRUE(parsed<PauseOptions>({"resume", "t", "--json"}).resume);
}

TEST(Arguments, Diverged) {
  const auto list = parsed<DivergedOptions>({"diverged", "list", "t", "--json", "--node", "n"});
  EXPECT_EQ(list.action, DivergedAction::list);
  EXPECT_EQ(list.tree, "t");
  EXPECT_EQ(list.global.node, "n");
  EXPECT_TRUE(list.json);
  const auto diff = parsed<DivergedOptions>({"diverged", "diff", "t", "a", "b", "--id", "x"});
  EXPECT_EQ(diff.action, DivergedAction::diff);
  EXPECT_EQ(diff.paths, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(diff.id, "x");
  const auto restore = parsed<DivergedOptions>(
      {"diverged", "restore", "t", "--item", "7", "--to", "/d", "--replace"});
  EXPECT_EQ(restore.action, DivergedAction::restore);
  EXPECT_EQ(restore.item, 7u);
  EXPECT_EQ(restore.to, "/d");
  EXPECT_TRUE(restore.replace);
  const auto discard = parsed<DivergedOptions>({"diverged", "discard", "t", "--all", "--yes"});
  EXPECT_EQ(discard.action, DivergedAction::discard);
  EXPECT_TRUE(discard.all && discard.yes);
}

TEST(Arguments, UsageErrors) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"mirro"},
           {"mirror", "a"},
           {"mirror", "a", "b", "--bwlimit", "fast"},
           {"mirror", "a", "b", "--filter", "merge x"},
           {"mirror", "a", "b", "--exclude", "[x"},
           {"mirror", "a", "b", "--json", "-q"},
           {"mirror", "h:a", "b"},
           {"mirror", "a", "b", "--bwlimit", "1M"},
           {"mirror", "a", "b", "--ssh-port", "22"},
           {"mirror", "a", "b", "--remote-repl", "repl"},
           {"mirror", "a", "b", "--exclude-from", "/nonexistent"},
           {"mirror", "a", "b", "--ssh-port", "0"},
           {"run"},
           {"wait", "t", "--for", "ever"},
           {"wait", "t", "--timeout", "-1"},
           {"config"},
           {"serve"},
           {"serve", "--stdio", "--session", "zz"},
           {"status", "--log-level", "loud"},
           {"role"},
           {"role", "a", "b"},
           {"switchover", "t"},
           {"switchover", "t", "--to", "b", "--timeout", "0"},
           {"catchup", "t"},
           {"catchup", "--from", "b", "--dry-run", "--yes"},
           {"catchup", "--from", "b", "--dry-run", "--certificate", "/c"},
           {"diff"},
           {"diff", "a", "b"},
           {"demote", "--force"},
           {"approve"},
           {"diverged"},
           {"diverged", "list"},
           {"diverged", "forget", "t"},
           {"diverged", "list", "t", "a"},
           {"diverged", "restore", "t"},
           {"diverged", "discard", "t", "--yes"},
           {"diverged", "discard", "t", "a", "--all"},
           {"diverged", "restore", "t", "a", "--item", "1"},
           {"diverged", "restore", "t", "--item", "x"},
           {"diverged", "diff", "t", "--replace"}}) {
    const PrintAndExit print = printed(arguments);
    EXPECT_EQ(print.exit, exit_usage) << (arguments.empty() ? "" : arguments.back());
    EXPECT_TRUE(print.text.starts_with("repl: ")) << print.text;
  }
}

TEST(Arguments, UnknownCommandNamesTheNearest) {
  EXPECT_EQ(printed({"mirro"}).text,
            "repl: there is no command \"mirro\"; did you mean \"mirror\"?\n");
}

TEST(Arguments, HelpTeaches) {
  EXPECT_EQ(printed({"--help"}).exit, 0);
  EXPECT_NE(printed({"--help"}).text.find("Exit status"), std::string::npos);
  EXPECT_NE(printed({"mirror", "--help"}).text.find("Examples"), std::string::npos);
  for (const char* command :
       {"role", "promote", "demote", "switchover", "catchup", "diff", "pause", "resume"}) {
    EXPECT_NE(printed({command, "--help"}).text.find("Example"), std::string::npos) << command;
  }
  EXPECT_NE(printed({"--version"}).text.find("repl "), std::string::npos);
}

TEST(ServeRequest, RoundTripAndHostileInput) {
  ServeRequest request{.root = "/a b;rm -rf /\n\xff", .delete_extra = true, .create_root = true};
  request.rules = {{true, "*.x"}, {false, "y"}};
  request.only = {"/z"};
  const auto hex = encode_serve_request(request);
  ASSERT_TRUE(hex.has_value());
  EXPECT_EQ(hex->find_first_not_of("0123456789abcdef"), std::string::npos);
  const auto back = decode_serve_request(*hex);
  const auto served = parsed<ServeOptions>({"serve", "--stdio", "--session", *hex});
  EXPECT_EQ(served.request.root, request.root);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->root, request.root);
  EXPECT_TRUE(back->delete_extra && back->create_root && !back->ids_by_name);
  ASSERT_EQ(back->rules.size(), 2u);
  EXPECT_EQ(back->rules[0].pattern, "*.x");
  EXPECT_EQ(back->only, request.only);
  for (size_t cut = 0; cut < hex->size(); ++cut) {
    EXPECT_FALSE(decode_serve_request(hex->substr(0, cut)).has_value()) << cut;
  }
  EXPECT_FALSE(decode_serve_request(*hex + "00").has_value());
  EXPECT_FALSE(decode_serve_request("0100000000ffffffffffffffffff01").has_value());
  request.only.assign(10'000, "pattern");
  EXPECT_FALSE(encode_serve_request(request).has_value());
}

}  // namespace
}  // namespace repl::cli
