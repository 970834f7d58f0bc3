#include "cli/arguments.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "cli/exit_codes.h"
#include "cli/help_text.h"
#include "cli/role_arguments.h"
#include "cli/runtime_dir.h"
#include "cli/version.h"
#include "engine/base/escape.h"

namespace repl::cli {
namespace {

// Where the options land while CLI11 parses; the variant is made from the sub-command that was
// given.
struct Draft {
  GlobalOptions global;
  MirrorOptions mirror;
  RunRequest run;
  StatusOptions status;
  VerifyOptions verify;
  WaitOptions wait;
  ApproveOptions approve;
  RoleDraft roles;
  DivergedOptions diverged;
  DoctorOptions doctor;
  std::string destination, session;
  bool stdio = false;  // must be said, and says nothing more
};

std::string personal_dir(const char* variable, const std::string& otherwise) {
  const char* value = std::getenv(variable);
  return value != nullptr && value[0] == '/' ? value : otherwise;
}

void default_dirs(GlobalOptions& global) {
  if (::geteuid() == 0) {
    global.state_dir = "/var/lib/repl";
    global.runtime_dir = "/run/repl";
    return;
  }
  const std::string home = personal_dir("HOME", "/tmp");
  global.state_dir = personal_dir("XDG_STATE_HOME", home + "/.local/state") + "/repl";
  global.runtime_dir = personal_dir("XDG_RUNTIME_DIR", fallback_runtime_parent()) + "/repl";
}

void add_globals(CLI::App& app, GlobalOptions& global) {
  app.add_option("--config", global.config_file, "Configuration file")->capture_default_str();
  app.add_option("--node", global.node,
                 "Which node of the configuration this is (default: by host name)");
  app.add_option("--state-dir", global.state_dir, "Indexes and this node's key")
      ->capture_default_str();
  app.add_option("--runtime-dir", global.runtime_dir, "Control sockets")->capture_default_str();
  static constexpr std::array<std::string_view, 4> levels = {"debug", "info", "warn", "error"};
  app.add_option_function<std::string>(
         "--log-level",
         [&global](const std::string& text) {
           const auto found = std::find(levels.begin(), levels.end(), text);
           global.log_level = static_cast<LogLevel>(found - levels.begin());
         },
         "debug, info, warn or error (default: info; mirror: warn)")
      ->check([](const std::string& text) {
        return std::find(levels.begin(), levels.end(), text) == levels.end()
                   ? "--log-level must be debug, info, warn or error"
                   : "";
      });
}

// rsync's --exclude and --include take "- p" and "+ p" too.
FilterRule rule_of(bool include, std::string pattern) {
  if (pattern.starts_with("- ") || pattern.starts_with("+ ")) {
    return {pattern[0] == '+', pattern.substr(2)};
  }
  return {include, std::move(pattern)};
}

void rules_from_file(const std::string& file, bool include, std::vector<FilterRule>& rules) {
  std::ifstream in(file);
  if (!in)
    throw CLI::ValidationError(fmt::format("cannot read {}: {}", file, std::strerror(errno)));
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    rules.push_back(rule_of(include, line));
  }
}

// Each callback runs in the order of the command line, so that the rules keep it
// (trigger_on_parse).
void add_rules(CLI::App& app, std::vector<FilterRule>& rules) {
  const auto add = [&](const char* name, const char* help,
                       std::function<void(const std::string&)> each) {
    app.add_option_function<std::string>(name, std::move(each), help)
        ->trigger_on_parse()
        ->type_name("TEXT");
  };
  add("--exclude", "Leave out what matches PATTERN",
      [&](const std::string& text) { rules.push_back(rule_of(false, text)); });
  add("--include", "Keep what matches PATTERN, whatever a later rule says",
      [&](const std::string& text) { rules.push_back(rule_of(true, text)); });
  add("--filter", "One rule: \"- PATTERN\" or \"+ PATTERN\"", [&](const std::string& text) {
    const auto parsed = parse_filter_rules(text);
    if (!parsed) throw CLI::ValidationError("--filter: " + parsed.error().message);
    rules.insert(rules.end(), parsed->begin(), parsed->end());
  });
  add("--exclude-from", "Exclude patterns from FILE, one a line",
      [&](const std::string& file) { rules_from_file(file, false, rules); });
  add("--include-from", "Include patterns from FILE, one a line",
      [&](const std::string& file) { rules_from_file(file, true, rules); });
}

void add_mirror(CLI::App& top, Draft& draft) {
  MirrorOptions& o = draft.mirror;
  CLI::App& app =
      *top.add_subcommand("mirror", "Keep a live copy of a directory, without any configuration");
  app.footer(help::mirror);
  app.add_option("SRC", o.source, "A directory, or one file")->required();
  app.add_option("DST", draft.destination, "A directory, or [user@]host:/path")->required();
  app.add_flag("--once", o.once, "End when both are equal, instead of staying");
  app.add_flag("--delete", o.delete_extra, "Remove from DST what SRC does not have");
  add_rules(app, o.rules);
  app.add_option("--remote-repl", o.remote_repl, "The repl command on the other side")
      ->capture_default_str();
  app.add_option("--ssh-port", o.ssh.port, "Port of sshd")->check(CLI::Range(1, 65535));
  app.add_option("--ssh-identity", o.ssh.identity, "Private key for ssh");
  app.add_option("--ssh-option", o.ssh.options,
                 "One option for ssh, as in ssh_config(5); repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option_function<std::string>(
      "--bwlimit",
      [&o](const std::string& text) {
        const Result<uint64_t> limit = parse_bandwidth(text);
        if (!limit) throw CLI::ValidationError("--bwlimit: " + limit.error().message);
        o.bandwidth_bytes_per_second = *limit;
      },
      "At most so many bytes per second: 512K, 10M, 1.5G");
  app.add_flag("--json", o.json, "Progress and result as JSON lines");
  app.add_flag("-q,--quiet", o.quiet, "Only errors");
}

void add_daemon_commands(CLI::App& top, Draft& draft) {
  CLI::App& run = *top.add_subcommand("run", "The daemon: replicate trees of the configuration");
  run.add_option("TREE", draft.run.trees, "Trees of the configuration")->required();
  run.footer(help::run);

  CLI::App& serve =
      *top.add_subcommand("serve", "The far end of an ssh connection (started by repl)");
  serve.add_flag("--stdio", draft.stdio, "Speak on standard input and output")->required();
  serve
      .add_option("--session", draft.session, "What to serve, as repl on the near side encodes it")
      ->required();

  CLI::App& status =
      *top.add_subcommand("status", "Role, lag, holds and last verification of each tree");
  status.add_option("TREE", draft.status.trees, "Only these (default: all)");
  status.add_flag("--json", draft.status.json, "One JSON object per tree and line");
  status.add_flag("--watch", draft.status.watch, "Again every second, until interrupted");
  status.footer(help::status);

  CLI::App& verify = *top.add_subcommand("verify", "Prove that the peers' copies are equal");
  verify.add_option("TREE", draft.verify.trees, "Only these (default: all)");
  verify.add_flag("--full", draft.verify.full, "Read every byte on both sides again");
  verify.add_flag("--sha256", draft.verify.sha256,
                  "A cryptographic proof; reads all bytes, as --full");
  verify.add_flag("--json", draft.verify.json, "The result as one JSON object per tree and line");
  verify.footer(help::verify);

  CLI::App& wait =
      *top.add_subcommand("wait", "Wait until everything written before now has reached the peers");
  wait.add_option("TREE", draft.wait.tree, "A tree of the configuration")->required();
  wait.add_option("--for", draft.wait.level, "received, applied or durable")
      ->check(CLI::IsMember({"received", "applied", "durable"}))
      ->capture_default_str();
  wait.add_option("--timeout", draft.wait.timeout_seconds, "Give up after so many seconds (exit 5)")
      ->check(CLI::Range(0.0, 1e9));
  wait.add_flag("--wait-for-peers", draft.wait.wait_for_peers,
                "Wait for peers that are away, too, instead of exit 4");
  wait.footer(help::wait);

  CLI::App& approve = *top.add_subcommand(
      "approve", "Release what is held: a replica's local changes, or removals on the primary");
  approve.add_option("TREE", draft.approve.tree, "A tree of the configuration")->required();
  approve.footer(help::approve);

  add_role_commands(top, draft.roles);

  CLI::App& doctor = *top.add_subcommand(
      "doctor", "What this machine can do, and what to do about what it cannot");
  doctor.add_flag("--json", draft.doctor.json, "One JSON object");
  doctor.footer(help::doctor);
  CLI::App& config = *top.add_subcommand("config", "The configuration file");
  config.add_subcommand("check", "Say whether the configuration is right")
      ->footer(help::config_check);
  config.require_subcommand(1);
  top.add_subcommand("keygen", "Make this node's key, once")->footer(help::keygen);
  top.add_subcommand("fingerprint",
                     "Print the fingerprint of this node's key, for the configuration")
      ->footer(help::fingerprint);
}

// The options that several of the four have.
void add_diverged(CLI::App& top, Draft& draft) {
  DivergedOptions& o = draft.diverged;
  CLI::App& app = *top.add_subcommand(
      "diverged", "What only this node had, and was replaced by another node's versions");
  app.footer(help::diverged);
  app.require_subcommand(1);
  const auto add = [&](const char* name, const char* text, DivergedAction action) -> CLI::App& {
    CLI::App& sub = *app.add_subcommand(name, text);
    sub.fallthrough();
    sub.parse_complete_callback([&o, action] { o.action = action; });
    sub.add_option("TREE", o.tree, "A tree of the configuration")->required();
    sub.add_option("--id", o.id, "Only this store, as list shows it");
    sub.add_flag("--json", o.json, "One JSON object per line");
    return sub;
  };
  const auto add_choice = [&](CLI::App& sub) {
    CLI::Option* paths = sub.add_option("PATH", o.paths, "At or below the root of the tree");
    CLI::Option* item = sub.add_option("--item", o.item, "The one of this number");
    CLI::Option* all = sub.add_flag("--all", o.all, "Everything of one store");
    paths->excludes(item)->excludes(all);
    item->excludes(all);
    sub.final_callback([&o] {
      if (!o.all && !o.item && o.paths.empty())
        throw CLI::ValidationError("say which: PATH..., --item N or --all");
    });
  };
  add("list", "The stores, and what is in each", DivergedAction::list);
  CLI::App& diff =
      add("diff", "How each kept version differs from what is there now", DivergedAction::diff);
  diff.add_option("PATH", o.paths, "Only what is at or below these");
  CLI::App& restore = add("restore", "Put kept versions back, whole", DivergedAction::restore);
  add_choice(restore);
  restore.add_option("--to", o.to, "To this directory, not into the tree");
  restore.add_flag("--replace", o.replace, "What is there now goes to the store");
  CLI::App& discard = add("discard", "Remove kept versions for good", DivergedAction::discard);
  add_choice(discard);
  discard.add_flag("--yes", o.yes, "Do not ask");
}

Command chosen(const CLI::App& app, Draft& draft) {
  const auto with_globals = [&](auto options) -> Command {
    options.global = draft.global;
    return options;
  };
  if (app.got_subcommand("mirror")) {
    draft.mirror.destination = parse_mirror_end(draft.destination);
    if (draft.mirror.json && draft.mirror.quiet) {
      throw CLI::ValidationError("--json and --quiet exclude each other");
    }
    if (draft.mirror.destination.host.empty()) {
      for (const char* option :
           {"--bwlimit", "--remote-repl", "--ssh-port", "--ssh-identity", "--ssh-option"}) {
        if (app.get_subcommand("mirror")->count(option) == 0) continue;
        throw CLI::ValidationError(fmt::format(
            "{} has no meaning here: DST {} is on this machine (another is written HOST:/PATH)",
            option, escape(draft.mirror.destination.path)));
      }
    }
    if (const auto filter = Filter::make(draft.mirror.rules, {}); !filter) {
      throw CLI::ValidationError(filter.error().message);
    }
    if (!parse_mirror_end(draft.mirror.source).host.empty()) {
      throw CLI::ValidationError(
          "SRC must be local: run repl on the machine that has the files "
          "(a name with ':' is written ./NAME)");
    }
    return with_globals(draft.mirror);
  }
  if (app.got_subcommand("run")) return with_globals(draft.run);
  if (app.got_subcommand("serve")) {
    Result<ServeRequest> request = decode_serve_request(draft.session);
    if (!request) throw CLI::ValidationError(request.error().message);
    return with_globals(ServeOptions{.request = std::move(*request)});
  }
  if (app.got_subcommand("status")) return with_globals(draft.status);
  if (app.got_subcommand("verify")) return with_globals(draft.verify);
  if (app.got_subcommand("wait")) return with_globals(draft.wait);
  if (app.got_subcommand("approve")) return with_globals(draft.approve);
  if (auto role = chosen_role_command(app, draft.roles, draft.global)) return std::move(*role);
  if (app.got_subcommand("diverged")) return with_globals(draft.diverged);
  if (app.got_subcommand("doctor")) return with_globals(draft.doctor);
  if (app.got_subcommand("config")) return with_globals(ConfigCheckOptions{});
  if (app.got_subcommand("keygen")) return with_globals(KeygenOptions{});
  return with_globals(FingerprintOptions{});
}

}  // namespace

MirrorEnd parse_mirror_end(std::string_view text) {
  const auto local = [&] { return MirrorEnd{.path = std::string(text)}; };
  MirrorEnd end;
  std::string_view rest = text;
  const size_t at = rest.substr(0, rest.find_first_of("/:")).rfind('@');
  if (at != std::string_view::npos) {
    end.user = rest.substr(0, at);
    rest.remove_prefix(at + 1);
  }
  size_t colon = 0;
  if (rest.starts_with('[')) {
    const size_t close = rest.find(']');
    if (close == std::string_view::npos || !rest.substr(close + 1).starts_with(':')) return local();
    end.host = rest.substr(1, close - 1);
    colon = close + 1;
  } else {
    colon = rest.find(':');
    if (colon == std::string_view::npos ||
        rest.substr(0, colon).find('/') != std::string_view::npos) {
      return local();
    }
    end.host = rest.substr(0, colon);
  }
  // A host that begins with '-' would be an option of ssh.
  if (end.host.empty() || end.host.front() == '-' || end.user.starts_with('-')) return local();
  end.path = rest.substr(colon + 1);
  if (end.path.empty()) end.path = ".";
  return end;
}

Command parse_arguments(const std::vector<std::string>& arguments) {
  Draft draft;
  default_dirs(draft.global);
  CLI::App app(
      "repl keeps a directory tree on other servers the same as here, milliseconds behind.",
      "repl");
  app.footer(help::top);
  app.set_version_flag("--version", std::string("repl ") + version);
  app.require_subcommand(1);
  app.fallthrough();
  add_globals(app, draft.global);
  add_mirror(app, draft);
  add_daemon_commands(app, draft);
  add_diverged(app, draft);
  for (CLI::App* sub : app.get_subcommands({})) sub->fallthrough();
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
    if (const Status trusted = check_runtime_dir(draft.global); !trusted) {
      throw CLI::ValidationError(trusted.error().message);
    }
    return chosen(app, draft);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out, err;
    const int code = app.exit(error, out, err);
    if (code == 0) return PrintAndExit{out.str(), exit_ok};
    // CLI11 says only that a command is missing when it does not know the one that was given.
    const std::string first = arguments.empty() ? std::string() : arguments.front();
    std::vector<std::string> names;
    for (const CLI::App* sub : app.get_subcommands({})) names.push_back(sub->get_name());
    if (!first.empty() && first[0] != '-' &&
        std::find(names.begin(), names.end(), first) == names.end()) {
      const auto near = nearest(first, names);
      return PrintAndExit{fmt::format("repl: there is no command \"{}\"{}\n", escape(first),
                                      near ? fmt::format("; did you mean \"{}\"?", *near)
                                           : "; `repl --help` lists them"),
                          exit_usage};
    }
    return PrintAndExit{"repl: " + err.str(), exit_usage};
  }
}

}  // namespace repl::cli
