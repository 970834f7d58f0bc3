#include "cli/config.h"

#include <gtest/gtest.h>

namespace repl::cli {
namespace {

const std::string print_a = "sha256:" + std::string(64, 'a');
const std::string print_b = "sha256:" + std::string(64, 'b');

std::string nodes() {
  return "[node.mgmt1]\naddress = \"10.0.0.1\"\nfingerprint = \"" + print_a +
         "\"\n[node.mgmt2]\naddress = \"10.0.0.2\"\nfingerprint = [\"" + print_b + "\", \"" +
         print_a + "\"]\n";
}
std::string tree(const std::string& name, const std::string& root, int port,
                 const std::string& more = {}) {
  return "[tree." + name + "]\nroot = \"" + root +
         "\"\nnodes = [\"mgmt1\", \"mgmt2\"]\nport = " + std::to_string(7000 + port) + "\n" + more;
}
std::string fault_of(const std::string& text) {
  const Result<Config> config = parse_config(text, "r.toml");
  EXPECT_FALSE(config.has_value()) << text;
  return config ? "" : config.error().message;
}

TEST(Config, FullExample) {
  const auto config = parse_config(
      nodes() +
          "[node.mgmt2.ssh]\nuser = \"repl\"\nport = 2222\nidentity = \"/root/.ssh/id\"\n"
          "options = [\"Compression=no\"]\nrepl = \"/usr/local/bin/repl\"\n" +
          tree(
              "idm", "/etc/idm/", 421,
              "exclude = [\"*.swp\"]\nfilter = [\"+ keep.swp\"]\nids = \"name\"\n"
              "order = \"strict\"\non_drift = \"repair\"\nmax_delete = 20\nmax_delete_percent = 7\n"
              "scrub_days = 30\nscrub_rate = \"5M\"\n"
              "staging = \"/etc/.staging\"\nwatch = \"inotify\"\nbandwidth = \"1.5M\"\n"
              "[tree.idm.peer.mgmt2]\ntransport = \"ssh\"\nbandwidth = 4096\n"),
      "r.toml");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  const TreeConfig& idm = config->trees.at("idm");
  EXPECT_EQ(idm.root, "/etc/idm");
  EXPECT_EQ(idm.nodes, (std::vector<std::string>{"mgmt1", "mgmt2"}));
  EXPECT_EQ(idm.port, 7421);
  ASSERT_EQ(idm.rules.size(), 2u);
  EXPECT_TRUE(idm.rules[0].include) << "filter comes before exclude";
  EXPECT_TRUE(idm.ids_by_name);
  EXPECT_TRUE(idm.strict_order);
  EXPECT_TRUE(idm.repair_drift);
  EXPECT_EQ(idm.deletes, (change::DeleteLimits{.on = true, .entries = 20, .percent = 7}));
  EXPECT_EQ(idm.scrub_days, 30);
  EXPECT_EQ(idm.scrub_bytes_per_second, 5u << 20);
  EXPECT_EQ(idm.staging, "/etc/.staging");
  EXPECT_EQ(idm.watch, WatchChoice::inotify);
  EXPECT_EQ(idm.peers.at("mgmt1").bandwidth_bytes_per_second, 1572864u);
  EXPECT_EQ(idm.peers.at("mgmt1").transport, Transport::tls);
  EXPECT_EQ(idm.peers.at("mgmt2").transport, Transport::ssh);
  EXPECT_EQ(idm.peers.at("mgmt2").bandwidth_bytes_per_second, 4096u);
  EXPECT_EQ(config->nodes.at("mgmt1").fingerprints.size(), 1u);
  EXPECT_EQ(config->nodes.at("mgmt2").fingerprints.size(), 2u);
  EXPECT_EQ(config->nodes.at("mgmt2").ssh.port, 2222);
  EXPECT_EQ(config->nodes.at("mgmt2").ssh.options, std::vector<std::string>{"Compression=no"});
  const auto policy = policy_of(idm);
  ASSERT_TRUE(policy.has_value());
  EXPECT_EQ(policy->filter.membership("a.swp", false), Membership::excluded);
}

TEST(Config, MassDeletesAreBrakedUnlessThatIsOff) {
  const auto deletes = [](const std::string& line) {
    const auto config = parse_config(nodes() + tree("a", "/etc/a", 421, line), "r.toml");
    EXPECT_TRUE(config) << config.error().message;
    return config ? config->trees.at("a").deletes : change::DeleteLimits{};
  };
  EXPECT_EQ(deletes(""), change::DeleteLimits{});
  EXPECT_TRUE(deletes("").on);
  EXPECT_FALSE(deletes("max_delete = \"off\"\n").on);
  EXPECT_EQ(deletes("max_delete_percent = 0\n").percent, 0U);
}

TEST(Config, AGuardIsOffUnlessItIsAskedFor) {
  for (const auto& [line, guard] : std::map<std::string, bool>{
           {"", false}, {"guard = true\n", true}, {"guard = false\ninclude = [\"a\"]\n", false}}) {
    const auto config = parse_config(nodes() + tree("a", "/etc/a", 421, line), "r.toml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->trees.at("a").guard, guard) << line;
  }
  const auto beside = parse_config(
      nodes() + tree("a", "/srv/a", 5, "guard = true\n") + tree("b", "/srv/ab", 6), "r.toml");
  EXPECT_TRUE(beside) << beside.error().message;
}

TEST(Config, HooksAreProgramsWithArguments) {
  const auto config = parse_config(
      nodes() +
          tree("a", "/etc/a", 421,
               "on_promote = \"/etc/repl/up\"\non_hold = [\"/usr/bin/logger\", \"-t\", \"a b\"]\n"
               "hook_timeout = 90\non_alone = \"serve\"\non_alone_after = 5\n") +
          tree("b", "/etc/b", 422),
      "r.toml");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  const TreeConfig& a = config->trees.at("a");
  using Kind = run::TreeEvent::Kind;
  const std::map<Kind, std::vector<std::string>> programs{
      {Kind::promoted, {"/etc/repl/up"}}, {Kind::held, {"/usr/bin/logger", "-t", "a b"}}};
  EXPECT_EQ(a.hooks.programs, programs);
  EXPECT_EQ(a.hooks.timeout, std::chrono::seconds(90));
  EXPECT_TRUE(a.serve_alone);
  EXPECT_EQ(a.alone_after, std::chrono::seconds(5));
  const TreeConfig& b = config->trees.at("b");
  EXPECT_EQ(b.hooks, HookSettings{});
  EXPECT_EQ(b.hooks.timeout, std::chrono::seconds(60));
  EXPECT_FALSE(b.serve_alone);
  EXPECT_EQ(b.alone_after, std::chrono::seconds(60));
}

TEST(Config, NodeByHostName) {
  const auto config = parse_config(nodes(), "r.toml");
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(*find_node(*config, "", "mgmt2"), "mgmt2");
  EXPECT_EQ(*find_node(*config, "", "mgmt1.example.org"), "mgmt1");
  EXPECT_EQ(*find_node(*config, "mgmt2", "mgmt1"), "mgmt2");
  EXPECT_EQ(find_node(*config, "mgmt3", "mgmt1").error().message,
            "r.toml: there is no [node.mgmt3] (did you mean \"mgmt1\"?); nodes: mgmt1, mgmt2");
  EXPECT_EQ(find_node(*config, "", "web").error().message,
            "r.toml: no node is named like this host (\"web\"); say which one it is with --node "
            "NAME; nodes: mgmt1, mgmt2");
  EXPECT_EQ(find_tree(*config, "x").error().message, "r.toml: there is no [tree.x]; trees: none");
}

struct Case {
  std::string text;
  std::string message;
};
class BadConfig : public testing::TestWithParam<Case> {};
TEST_P(BadConfig, SaysWhereAndWhatToDo) {
  EXPECT_EQ(fault_of(GetParam().text), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadConfig,
    testing::Values(
        Case{"[tree.a]\nrooot = \"/a\"\nroot = \"/a\"\nnodes = []\n",
             "r.toml:2: [tree.a] has no key \"rooot\"; did you mean \"root\"?"},
        Case{"[trees.a]\n", "r.toml:1: the file has no key \"trees\"; did you mean \"tree\"?"},
        Case{"[node.n]\naddress = \"h\"\nzzzzzzzzz = 1\n",
             "r.toml:3: [node.n] has no key \"zzzzzzzzz\"; keys: address, fingerprint, ssh"},
        Case{"[node.n]\n",
             "r.toml:1: [node.n] needs address = \"HOST\" (a name or an IP address that the other "
             "nodes can reach)"},
        Case{"[node.n]\naddress = 7\n", "r.toml:2: [node.n] address must be a text, not a number"},
        Case{"[node.n]\naddress = \"h\"\nfingerprint = \"sha256:12\"\n",
             "r.toml:3: [node.n] fingerprint = \"sha256:12\" must be \"sha256:\" and 64 lower-case "
             "hex digits; `repl fingerprint` on that node prints it"},
        Case{"[node.\"../x\"]\naddress = \"h\"\n",
             "r.toml:1: node \"../x\": names are 1 to 64 letters, digits, '-', '_' and '.', "
             "beginning with none of '-' and '.'"},
        Case{"[node.n]\naddress = \"h\"\n[node.n.ssh]\nport = 70000\n",
             "r.toml:4: [node.n.ssh] port = 70000 is outside 1 to 65535"},
        Case{"[node.n]\naddress = \"h\"\n[node.n.ssh]\nrepl = \"repl; rm -rf /\"\n",
             "r.toml:4: [node.n.ssh] repl must be a command's name or path without blanks (the "
             "remote shell reads it)"},
        Case{nodes() + tree("a", "etc", 1),
             "r.toml:8: [tree.a] root = \"etc\" must be an absolute path without \"..\""},
        Case{nodes() + tree("a", "/etc/../b", 1),
             "r.toml:8: [tree.a] root = \"/etc/../b\" must be an absolute path without \"..\""},
        Case{nodes() + "[tree.a]\nnodes = [\"mgmt1\", \"mgmt2\"]\nport = 7001\n",
             "r.toml:7: [tree.a] needs root = \"/DIRECTORY\""},
        Case{nodes() + "[tree.a]\nroot = \"/a\"\nport = 7001\n",
             "r.toml:7: [tree.a] needs nodes = [\"PRIMARY\", \"SECONDARY\"]"},
        Case{nodes() + "[tree.a]\nroot = \"/a\"\nport = 7001\nnodes = [\"mgmt1\"]\n",
             "r.toml:10: [tree.a] nodes must name at least two nodes"},
        Case{nodes() + "[tree.a]\nroot = \"/a\"\nport = 7001\nnodes = [\"mgmt1\", \"mgmt1\"]\n",
             "r.toml:10: [tree.a] nodes names \"mgmt1\" twice"},
        Case{nodes() + "[tree.a]\nroot = \"/a\"\nport = 7001\nnodes = [\"mgmt1\", \"mgnt2\"]\n",
             "r.toml:10: [tree.a] nodes names \"mgnt2\", but there is no [node.mgnt2]; did you "
             "mean \"mgmt2\"?"},
        Case{nodes() + "[tree.a]\nroot = \"/a\"\nnodes = [\"mgmt1\", \"mgmt2\"]\n",
             "r.toml:9: [tree.a] needs port = NUMBER (each tree of a node its own)"},
        Case{"[node.a]\naddress = \"h\"\n[node.b]\naddress = \"i\"\nfingerprint = \"" + print_a +
                 "\"\n[tree.t]\nroot = \"/t\"\nport = 7001\nnodes = [\"a\", \"b\"]\n",
             "r.toml:9: [tree.t] reaches \"a\" by TLS, but [node.a] has no fingerprint; `repl "
             "keygen` and `repl fingerprint` on that node make and print it, or set transport = "
             "\"ssh\""},
        Case{nodes() + tree("a", "/a", 5) + tree("b", "/b", 5),
             "r.toml:14: [tree.b] port = 7005 is also the port of [tree.a], and \"mgmt1\" carries "
             "both; choose another"},
        Case{nodes() + tree("a", "/a", -6580),
             "r.toml:10: [tree.a] port = 420 is outside 1024 to 65535"},
        Case{nodes() + tree("a", "/a", 5, "ids = \"names\"\n"),
             "r.toml:11: [tree.a] ids = \"names\" must be \"numeric\" or \"name\""},
        Case{nodes() + tree("a", "/a", 5, "max_delete = \"none\"\n"),
             "r.toml:11: [tree.a] max_delete = \"none\" must be a number or \"off\""},
        Case{nodes() + tree("a", "/a", 5, "on_promot = \"/up\"\n"),
             "r.toml:11: [tree.a] has no key \"on_promot\"; did you mean \"on_promote\"?"},
        Case{
            nodes() + tree("a", "/a", 5, "on_demote = \"down\"\n"),
            "r.toml:11: [tree.a] on_demote must begin with the absolute path of a program, without "
            "\"..\"; its arguments follow in the list"},
        Case{
            nodes() + tree("a", "/a", 5, "on_synced = []\n"),
            "r.toml:11: [tree.a] on_synced must begin with the absolute path of a program, without "
            "\"..\"; its arguments follow in the list"},
        Case{nodes() + tree("a", "/a", 5, "hook_timeout = 0\n"),
             "r.toml:11: [tree.a] hook_timeout = 0 is outside 1 to 3600"},
        Case{nodes() + tree("a", "/a", 5, "guard = \"yes\"\n"),
             "r.toml:11: [tree.a] guard must be true or false, not a text"},
        Case{nodes() + tree("a", "/a", 5, "guard = true\ninclude = [\"f\"]\n"),
             "r.toml:11: [tree.a] guard makes the whole root read-only, and include says that the "
             "tree is only a part of it: leave out one of them"},
        Case{nodes() + tree("a", "/a", 5, "guard = true\nstaging = \"/s\"\n"),
             "r.toml:11: [tree.a] guard needs the staging area in the root: leave out staging"},
        Case{nodes() + tree("a", "/", 5, "guard = true\n"),
             "r.toml:11: [tree.a] guard would make the whole system read-only: root must be a "
             "directory of its own"},
        Case{
            nodes() + tree("a", "/srv", 5, "guard = true\nexclude = [\"/b\"]\n") +
                tree("b", "/srv/b", 6),
            "r.toml:14: [tree.b] and [tree.a] lie one inside the other, and a guard takes all that "
            "is below its root: leave out guard, or move one of them"},
        Case{nodes() + tree("a", "/a", 5, "on_alone = \"go\"\n"),
             "r.toml:11: [tree.a] on_alone = \"go\" must be \"wait\" or \"serve\""},
        Case{nodes() + tree("a", "/a", 5, "on_alone_after = 100000\n"),
             "r.toml:11: [tree.a] on_alone_after = 100000 is outside 1 to 86400"},
        Case{nodes() + tree("a", "/a", 5, "exclude = [\"[a\"]\n"),
             "r.toml:11: [tree.a]: filter pattern \"[a\": has a '[' without its ']' (a literal '[' "
             "is \"\\[\")"},
        Case{nodes() + tree("a", "/a", 5, "include = [\"\"]\n"),
             "r.toml:11: [tree.a] include: filter pattern \"\": is empty"},
        Case{nodes() + tree("a", "/a", 5, "filter = [\"merge x\"]\n"),
             "r.toml:11: [tree.a] filter rule 1: \"merge x\" is not a rule; write \"- PATTERN\" or "
             "\"+ PATTERN\" (other rule types of rsync have no meaning here)"},
        Case{nodes() + tree("a", "/a", 5, "exclude = [1]\n"),
             "r.toml:11: [tree.a] exclude must be a list of texts, but holds a number"},
        Case{nodes() + tree("a", "/a", 5, "bandwidth = \"fast\"\n"),
             "r.toml:11: [tree.a] bandwidth: \"fast\" is not a bandwidth; write bytes per second "
             "such as \"512K\", \"10M\" or \"1.5G\""},
        Case{nodes() + tree("a", "/a", 5, "[tree.a.peer.mgmt9]\ntransport = \"ssh\"\n"),
             "r.toml:11: [tree.a.peer.mgmt9]: \"mgmt9\" is not in nodes of this tree"},
        Case{nodes() + tree("a", "/srv", 5) + tree("b", "/srv/b", 6),
             "r.toml:12: [tree.b] and [tree.a] can both hold /srv/b; a path may be in one tree "
             "only: exclude it from one of them"}));

// One node behind ssh: the others dial it, wherever it stands; it needs neither key nor port.
TEST(Config, WhoSpeaksHowWithWhom) {
  const std::string three = nodes() + "[node.vault]\naddress = \"v\"\n";
  for (const std::string order :
       {"\"mgmt1\", \"mgmt2\", \"vault\"", "\"vault\", \"mgmt1\", \"mgmt2\""}) {
    const auto config = parse_config(three + "[tree.t]\nroot = \"/t\"\nport = 7000\nnodes = [" +
                                         order + "]\n[tree.t.peer.vault]\ntransport = \"ssh\"\n",
                                     "r.toml");
    ASSERT_TRUE(config.has_value()) << config.error().message;
    const TreeConfig& t = config->trees.at("t");
    EXPECT_EQ(transport_between(t, "mgmt1", "mgmt2"), Transport::tls);
    EXPECT_TRUE(dials(t, "mgmt2", "mgmt1"));
    EXPECT_FALSE(dials(t, "mgmt1", "mgmt2"));
    for (const std::string node : {"mgmt1", "mgmt2"}) {
      EXPECT_EQ(transport_between(t, node, "vault"), Transport::ssh);
      EXPECT_EQ(transport_between(t, "vault", node), Transport::ssh);
      EXPECT_TRUE(dials(t, node, "vault"));
      EXPECT_FALSE(dials(t, "vault", node));
    }
  }
  const auto all_ssh = parse_config(
      three + "[tree.t]\nroot = \"/t\"\nnodes = [\"vault\", \"mgmt1\"]\ntransport = \"ssh\"\n",
      "r.toml");
  ASSERT_TRUE(all_ssh.has_value()) << all_ssh.error().message;
  EXPECT_TRUE(dials(all_ssh->trees.at("t"), "mgmt1", "vault"));
  EXPECT_FALSE(dials(all_ssh->trees.at("t"), "vault", "mgmt1"));
  const auto pair = parse_config(three +
                                     "[tree.t]\nroot = \"/t\"\nnodes = [\"vault\", \"mgmt1\"]\n"
                                     "[tree.t.peer.mgmt1]\ntransport = \"ssh\"\n",
                                 "r.toml");
  ASSERT_TRUE(pair.has_value()) << pair.error().message;
  EXPECT_TRUE(dials(pair->trees.at("t"), "vault", "mgmt1"));
}

TEST(Config, NotToml) {
  EXPECT_EQ(fault_of("[tree\n").find("r.toml:1:"), 0u);
  EXPECT_NE(fault_of("a = \n").find("not TOML"), std::string::npos);
}

TEST(Config, AllFaultsInTheOrderOfTheFile) {
  EXPECT_EQ(fault_of("[node.n]\nadress = \"h\"\n[node.m]\naddress = 1\n"),
            "r.toml:1: [node.n] needs address = \"HOST\" (a name or an IP address that the other "
            "nodes can reach)\n"
            "r.toml:2: [node.n] has no key \"adress\"; did you mean \"address\"?\n"
            "r.toml:4: [node.m] address must be a text, not a number");
}

TEST(Config, MissingFile) {
  const auto config = load_config("/nonexistent/repl.toml");
  ASSERT_FALSE(config.has_value());
  EXPECT_NE(config.error().message.find("/nonexistent/repl.toml"), std::string::npos);
  EXPECT_NE(config.error().message.find("--config"), std::string::npos);
}

std::string overlap_of(const std::string& a, const std::string& b) {
  const auto config = parse_config(nodes() + a + b, "r.toml");
  return config ? "" : config.error().message;
}

TEST(ConfigOverlap, WhatTreesMayShare) {
  const auto only = [](const std::string& pattern) { return "include = [\"" + pattern + "\"]\n"; };
  // One file in a directory that is otherwise another tree's business, and a glob beside it.
  EXPECT_EQ(overlap_of(tree("a", "/etc", 1, only("/hosts--warewulf")), tree("b", "/etc/idm", 2)),
            "");
  EXPECT_EQ(overlap_of(tree("a", "/etc", 1, only("/libvirt/qemu/shared-*")),
                       tree("b", "/etc", 2, only("/hosts"))),
            "");
  EXPECT_EQ(overlap_of(tree("a", "/srv", 1, "exclude = [\"/b/\"]\n"), tree("b", "/srv/b", 2)), "");
  EXPECT_EQ(overlap_of(tree("a", "/srv/a", 1), tree("b", "/srv/ab", 2)), "");
  EXPECT_NE(
      overlap_of(tree("a", "/etc", 1, only("/shared-*")), tree("b", "/etc", 2, only("/shared-a"))),
      "");
  EXPECT_NE(overlap_of(tree("a", "/etc", 1, only("/idm")), tree("b", "/etc/idm", 2)), "");
  EXPECT_NE(overlap_of(tree("a", "/", 1), tree("b", "/etc", 2)), "");
  EXPECT_NE(
      overlap_of(tree("a", "/etc", 1, only("*.conf")), tree("b", "/etc/idm", 2, only("/x.conf"))),
      "");
}

TEST(Bandwidth, Parse) {
  EXPECT_EQ(*parse_bandwidth("0"), 0u);
  EXPECT_EQ(*parse_bandwidth("512K"), 524288u);
  EXPECT_EQ(*parse_bandwidth("10m"), 10u << 20);
  for (const char* bad : {"", "K", "-1", "1T", "10 M", "nan", "inf", "1e300", "10", "1x"}) {
    EXPECT_FALSE(parse_bandwidth(bad).has_value()) << bad;
  }
}

TEST(Nearest, TypingErrorsOnly) {
  EXPECT_EQ(nearest("exlude", {"include", "exclude"}), "exclude");
  EXPECT_EQ(nearest("completely-else", {"include", "exclude"}), std::nullopt);
}

// What the parser beneath holds for impossible must be an error like any other.
TEST(ConfigText, OddTextIsRefused) {
  for (const std::string text : {"[{tree.a]\n", "1\u02aa*G", "a = 1\u02aa"}) {
    const auto config = parse_config(text, "FILE");
    ASSERT_FALSE(config) << text;
    EXPECT_NE(config.error().message.find("FILE"), std::string::npos);
  }
}

}  // namespace
}  // namespace repl::cli
