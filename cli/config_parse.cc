// TOML → Config. What one table says is checked while it is read, what tables say about each other
// afterwards.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/config.h"
#include "cli/config_overlap.h"
#include "cli/config_reader.h"
#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "transport/identity.h"

namespace repl::cli {
namespace {

// Names become file names (state directory, socket) and unit instances.
bool is_plain_name(std::string_view name) {
  const auto plain = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= 64 && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), plain);
}
constexpr std::string_view name_rule =
    "names are 1 to 64 letters, digits, '-', '_' and '.', beginning with none of '-' and '.'";

// "" if it is not absolute or climbs.
std::string normal_path(const std::string& path) {
  if (!path.starts_with('/')) return {};
  const std::filesystem::path given(path);
  if (std::find(given.begin(), given.end(), "..") != given.end()) return {};
  std::string normal = given.lexically_normal().string();
  while (normal.size() > 1 && normal.ends_with('/')) normal.pop_back();
  return normal;
}

bool one_in_the_other(const std::string& a, const std::string& b) {
  return a == "/" || b == "/" || (a + "/").starts_with(b + "/") || (b + "/").starts_with(a + "/");
}

class Parser {
 public:
  explicit Parser(const std::string& file) : faults_(file) { config_.file = file; }

  Result<Config> parse(const toml::table& root) {
    TableReader top(root, "the file", faults_);
    if (const toml::table* nodes = top.table("node")) {
      TableReader reader(*nodes, "[node]", faults_);
      reader.each_table([&](const std::string& name, const toml::table& t) { node(name, t); });
    }
    if (const toml::table* trees = top.table("tree")) {
      TableReader reader(*trees, "[tree]", faults_);
      reader.each_table([&](const std::string& name, const toml::table& t) { tree(name, t); });
    }
    top.unknown_keys();
    if (!faults_.any()) relations(root);
    if (faults_.any()) return fail(faults_.error());
    return std::move(config_);
  }

 private:
  void node(const std::string& name, const toml::table& table) {
    TableReader reader(table, fmt::format("[node.{}]", escape(name)), faults_);
    NodeConfig node{.name = name};
    if (!is_plain_name(name)) {
      faults_.add(table.source(), fmt::format("node \"{}\": {}", escape(name), name_rule));
    }
    if (auto address = reader.text("address")) {
      if (address->empty() || address->front() == '-' ||
          address->find_first_of(" /@[]") != std::string::npos) {
        reader.fault("address",
                     fmt::format("[node.{}] address = \"{}\" must be a host name or an IP "
                                 "address, without port",
                                 escape(name), escape(*address)));
      }
      node.address = std::move(*address);
    } else if (!reader.has("address")) {
      reader.fault("address", fmt::format("[node.{}] needs address = \"HOST\" (a name or an IP "
                                          "address that the other nodes can reach)",
                                          escape(name)));
    }
    if (auto fingerprints = reader.texts("fingerprint")) {
      for (const std::string& fingerprint : *fingerprints) {
        if (transport::is_fingerprint(fingerprint)) continue;
        reader.fault("fingerprint",
                     fmt::format("[node.{}] fingerprint = \"{}\" must be \"sha256:\" and 64 "
                                 "lower-case hex digits; `repl fingerprint` on that node prints it",
                                 escape(name), escape(fingerprint)));
      }
      node.fingerprints = std::move(*fingerprints);
    }
    if (const toml::table* ssh_table = reader.table("ssh")) node.ssh = ssh(name, *ssh_table);
    reader.unknown_keys();
    config_.nodes[name] = std::move(node);
  }

  SshSettings ssh(const std::string& node_name, const toml::table& table) {
    const std::string where = fmt::format("[node.{}.ssh]", escape(node_name));
    TableReader reader(table, where, faults_);
    SshSettings ssh;
    if (auto user = reader.text("user")) ssh.user = std::move(*user);
    if (auto port = reader.number("port", 1, 65535)) ssh.port = static_cast<uint16_t>(*port);
    if (auto identity = reader.text("identity")) ssh.identity = std::move(*identity);
    if (auto options = reader.texts("options")) ssh.options = std::move(*options);
    if (auto command = reader.text("repl")) ssh.repl = std::move(*command);
    if (ssh.user.starts_with('-') || ssh.user.find('@') != std::string::npos) {
      reader.fault("user", where + " user must not begin with '-' or hold '@'");
    }
    if (!ssh.identity.empty() && !ssh.identity.starts_with('/')) {
      reader.fault("identity", where + " identity must be an absolute path");
    }
    if (ssh.repl.empty() ||
        ssh.repl.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS"
                                   "TUVWXYZ0123456789/._-+") != std::string::npos) {
      reader.fault("repl", where +
                               " repl must be a command's name or path without blanks (the remote "
                               "shell reads it)");
    }
    reader.unknown_keys();
    return ssh;
  }

  void tree(const std::string& name, const toml::table& table) {
    const std::string where = fmt::format("[tree.{}]", escape(name));
    TableReader reader(table, where, faults_);
    TreeConfig tree{.name = name};
    if (!is_plain_name(name)) {
      faults_.add(table.source(), fmt::format("tree \"{}\": {}", escape(name), name_rule));
    }
    root(reader, where, tree);
    if (auto nodes = reader.texts("nodes")) tree.nodes = std::move(*nodes);
    if (!reader.has("nodes")) {
      reader.fault("nodes", where + " needs nodes = [\"PRIMARY\", \"SECONDARY\"]");
    }
    // Those below 1024 need CAP_NET_BIND_SERVICE, which the service does without.
    if (auto port = reader.number("port", 1024, 65535)) tree.port = static_cast<uint16_t>(*port);
    filters(reader, where, tree);
    if (auto ids = reader.choice("ids", {"numeric", "name"})) tree.ids_by_name = *ids == 1;
    if (auto order = reader.choice("order", {"loose", "strict"})) tree.strict_order = *order == 1;
    if (auto drift = reader.choice("on_drift", {"hold", "repair"})) tree.repair_drift = *drift == 1;
    delete_limits(reader, tree.deletes);
    alone(reader, tree);
    scrub(reader, tree);
    hooks(reader, where, tree.hooks);
    if (auto staging = reader.text("staging")) {
      tree.staging = normal_path(*staging);
      if (tree.staging.empty()) {
        reader.fault("staging", fmt::format("{} staging = \"{}\" must be an absolute path without "
                                            "\"..\", on the filesystem of the root",
                                            where, escape(*staging)));
      }
    }
    if (auto watch = reader.choice(
            "watch", {"auto", "fanotify-filesystem", "fanotify-directories", "inotify"})) {
      tree.watch = static_cast<WatchChoice>(*watch);
    }
    guard(reader, where, tree);
    PeerConfig defaults;
    peer_settings(reader, defaults);
    for (const std::string& node_name : tree.nodes) tree.peers[node_name] = defaults;
    if (const toml::table* peers = reader.table("peer")) {
      TableReader peer_reader(*peers, where + " peer", faults_);
      peer_reader.each_table([&](const std::string& peer, const toml::table& t) {
        if (!tree.peers.contains(peer)) {
          faults_.add(t.source(),
                      fmt::format("[tree.{}.peer.{}]: \"{}\" is not in nodes of this tree",
                                  escape(name), escape(peer), escape(peer)));
          return;
        }
        TableReader settings(t, fmt::format("[tree.{}.peer.{}]", escape(name), peer), faults_);
        peer_settings(settings, tree.peers[peer]);
        settings.unknown_keys();
      });
    }
    reader.unknown_keys();
    config_.trees[name] = std::move(tree);
  }

  void root(TableReader& reader, const std::string& where, TreeConfig& tree) {
    const auto written = reader.text("root");
    if (!written) {
      if (!reader.has("root")) reader.fault("root", where + " needs root = \"/DIRECTORY\"");
      return;
    }
    tree.root = normal_path(*written);
    if (tree.root.empty()) {
      reader.fault("root", fmt::format("{} root = \"{}\" must be an absolute path without \"..\"",
                                       where, escape(*written)));
    }
  }

  void delete_limits(TableReader& reader, change::DeleteLimits& limits) {
    bool off = false;
    const auto entries = reader.number_or("off", off, "max_delete", 0, INT64_MAX);
    if (entries) limits.entries = *entries;
    limits.on = !off;
    if (auto percent = reader.number("max_delete_percent", 0, 100)) limits.percent = *percent;
  }

  void alone(TableReader& reader, TreeConfig& tree) {
    if (auto alone = reader.choice("on_alone", {"wait", "serve"})) tree.serve_alone = *alone == 1;
    if (auto after = reader.number("on_alone_after", 1, limits::alone_after_s_max)) {
      tree.alone_after = std::chrono::seconds(*after);
    }
  }

  static void scrub(TableReader& reader, TreeConfig& tree) {
    if (auto days = reader.number("scrub_days", 0, limits::scrub_days_max)) tree.scrub_days = *days;
    if (auto rate = reader.bandwidth("scrub_rate")) tree.scrub_bytes_per_second = *rate;
  }

  // It takes the whole root, and what is renamed into it must be in the same mount.
  void guard(TableReader& reader, const std::string& where, TreeConfig& tree) {
    if (auto guard = reader.flag("guard")) tree.guard = *guard;
    if (!tree.guard) return;
    if (!tree.include.empty()) {
      reader.fault("guard", where +
                                " guard makes the whole root read-only, and include says that "
                                "the tree is only a part of it: leave out one of them");
    }
    if (!tree.staging.empty()) {
      reader.fault("guard", where + " guard needs the staging area in the root: leave out staging");
    }
    if (tree.root == "/") {
      reader.fault("guard", where +
                                " guard would make the whole system read-only: root must be a "
                                "directory of its own");
    }
  }

  // Whether the programs can be run is this node's matter, and looked at apart (hooks.h).
  void hooks(TableReader& reader, const std::string& where, HookSettings& hooks) {
    for (const auto& [kind, key] : hook_keys) {
      auto program = reader.texts(key);
      if (!program) continue;
      if (program->empty() || normal_path(program->front()) != program->front()) {
        reader.fault(key, fmt::format("{} {} must begin with the absolute path of a program, "
                                      "without \"..\"; its arguments follow in the list",
                                      where, key));
      }
      hooks.programs[kind] = std::move(*program);
    }
    if (auto timeout = reader.number("hook_timeout", 1, limits::hook_timeout_s_max)) {
      hooks.timeout = std::chrono::seconds(*timeout);
    }
  }

  void filters(TableReader& reader, const std::string& where, TreeConfig& tree) {
    if (auto include = reader.texts("include")) tree.include = std::move(*include);
    if (auto lines = reader.texts("filter")) {
      for (const std::string& line : *lines) {
        Result<std::vector<FilterRule>> rules = parse_filter_rules(line);
        if (!rules) {
          reader.fault("filter", fmt::format("{} {}", where, rules.error().message));
          continue;
        }
        tree.rules.insert(tree.rules.end(), rules->begin(), rules->end());
      }
    }
    if (auto excludes = reader.texts("exclude")) {
      for (std::string& pattern : *excludes) tree.rules.push_back({false, std::move(pattern)});
    }
    if (Result<Filter> include = Filter::make({}, tree.include); !include) {
      reader.fault("include", fmt::format("{} include: {}", where, include.error().message));
    }
    if (Result<Filter> rules = Filter::make(tree.rules, {}); !rules) {
      reader.fault(reader.has("exclude") ? "exclude" : "filter",
                   fmt::format("{}: {}", where, rules.error().message));
    }
  }

  void peer_settings(TableReader& reader, PeerConfig& peer) {
    if (auto transport = reader.choice("transport", {"tls", "ssh"})) {
      peer.transport = static_cast<Transport>(*transport);
    }
    if (auto limit = reader.bandwidth("bandwidth")) peer.bandwidth_bytes_per_second = *limit;
  }

  const toml::source_region& place(const toml::table& root, const std::string& tree,
                                   const char* key) {
    const toml::node_view<const toml::node> node = root["tree"][tree][key];
    return node ? node.node()->source() : root["tree"][tree].node()->source();
  }

  void relations(const toml::table& root) {
    for (const auto& [name, tree] : config_.trees) {
      tree_nodes(root, tree);
      for (const auto& [other_name, other] : config_.trees) {
        if (other_name >= name) break;
        pair(root, other, tree);
      }
    }
  }

  void tree_nodes(const toml::table& root, const TreeConfig& tree) {
    const auto& where = place(root, tree.name, "nodes");
    if (tree.nodes.size() < 2) {
      faults_.add(where, fmt::format("[tree.{}] nodes must name at least two nodes", tree.name));
    }
    bool tls = false;
    for (auto it = tree.nodes.begin(); it != tree.nodes.end(); ++it) {
      if (std::find(tree.nodes.begin(), it, *it) != it) {
        faults_.add(where,
                    fmt::format("[tree.{}] nodes names \"{}\" twice", tree.name, escape(*it)));
        continue;
      }
      const auto found = config_.nodes.find(*it);
      if (found == config_.nodes.end()) {
        std::vector<std::string> known;
        for (const auto& [name, node] : config_.nodes) known.push_back(name);
        const auto near = nearest(*it, known);
        faults_.add(where,
                    fmt::format("[tree.{}] nodes names \"{}\", but there is no [node.{}]; {}",
                                tree.name, escape(*it), escape(*it),
                                near ? fmt::format("did you mean \"{}\"?", *near)
                                     : "add it, with its address and fingerprint"));
        continue;
      }
      const bool by_tls = std::ranges::any_of(tree.nodes, [&](const std::string& other) {
        return other != *it && transport_between(tree, *it, other) == Transport::tls;
      });
      if (!by_tls) continue;
      tls = true;
      if (found->second.fingerprints.empty()) {
        faults_.add(where, fmt::format("[tree.{}] reaches \"{}\" by TLS, but [node.{}] has no "
                                       "fingerprint; `repl keygen` and `repl fingerprint` on that "
                                       "node make and print it, or set transport = \"ssh\"",
                                       tree.name, *it, *it));
      }
    }
    if (tls && tree.port == 0) {
      faults_.add(where, fmt::format("[tree.{}] needs port = NUMBER (each tree of a node its own)",
                                     tree.name));
    }
  }

  void pair(const toml::table& root, const TreeConfig& a, const TreeConfig& b) {
    const auto shared = std::find_if(a.nodes.begin(), a.nodes.end(), [&](const std::string& node) {
      return std::find(b.nodes.begin(), b.nodes.end(), node) != b.nodes.end();
    });
    if (shared == a.nodes.end()) return;
    if (a.port != 0 && a.port == b.port) {
      faults_.add(
          place(root, b.name, "port"),
          fmt::format("[tree.{}] port = {} is also the port of [tree.{}], and \"{}\" carries "
                      "both; choose another",
                      b.name, b.port, a.name, *shared));
    }
    if ((a.guard || b.guard) && one_in_the_other(a.root, b.root)) {
      faults_.add(place(root, b.name, "root"),
                  fmt::format("[tree.{}] and [tree.{}] lie one inside the other, and a guard takes "
                              "all that is below its root: leave out guard, or move one of them",
                              b.name, a.name));
    }
    if (const std::string why = overlap(a, b); !why.empty()) {
      faults_.add(place(root, b.name, "root"),
                  fmt::format("[tree.{}] and [tree.{}] can both hold {}; a path may be in one tree "
                              "only: exclude it from one of them",
                              b.name, a.name, why));
    }
  }

  Config config_;
  Faults faults_;
};

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& file) {
  if (text.size() > limits::config_bytes_max) {
    return fail(ErrorCode::limit,
                fmt::format("{}: is larger than {} bytes", file, limits::config_bytes_max));
  }
  try {
    const toml::table parsed = toml::parse(text, file);
    return Parser(file).parse(parsed);
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::invalid,
                fmt::format("{}:{}:{}: not TOML: {}", file, error.source().begin.line,
                            error.source().begin.column, error.description()));
  } catch (const BrokenTomlAssertion&) {
    return fail(
        ErrorCode::invalid,
        fmt::format("{}: not TOML, at a place unknown; look for a stray bracket or brace", file));
  }
}

Result<Config> load_config(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    Error error = sys_error("open configuration " + escape(file), errno);
    error.message +=
        "; name another with --config, or begin with the example in "
        "/usr/share/doc/repl/examples/repl.toml";
    return fail(std::move(error));
  }
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) return fail(sys_error("read configuration " + escape(file), EIO));
  return parse_config(text.view(), file);
}

}  // namespace repl::cli
