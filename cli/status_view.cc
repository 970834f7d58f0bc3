#include "cli/status_view.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "cli/json.h"

namespace repl::cli {

// One list of members for both directions: to_json and from_json cannot disagree.
template <typename Visit>
void members(TransferProgress& p, Visit&& visit) {
  visit("files_done", p.files_done);
  visit("files_total", p.files_total);
  visit("bytes_done", p.bytes_done);
  visit("bytes_total", p.bytes_total);
}
template <typename Visit>
void members(WireCounters& w, Visit&& visit) {
  visit("bytes_out", w.bytes_out);
  visit("bytes_in", w.bytes_in);
  visit("plain_bytes_out", w.plain_bytes_out);
  visit("plain_bytes_in", w.plain_bytes_in);
  visit("messages_out", w.messages_out);
  visit("messages_in", w.messages_in);
  visit("zstd_level", w.zstd_level);
  visit("zstd_window_bytes", w.zstd_window_bytes);
  visit("bottleneck", w.bottleneck);
}
template <typename Visit>
void members(MethodCounts& m, Visit&& visit) {
  visit("metadata", m.metadata);
  visit("inlined", m.inlined);
  visit("copied", m.copied);
  visit("linked", m.linked);
  visit("append", m.append);
  visit("aligned", m.aligned);
  visit("rolling", m.rolling);
  visit("whole", m.whole);
  visit("removed", m.removed);
  visit("literal_bytes", m.literal_bytes);
  visit("saved_bytes", m.saved_bytes);
  visit("rolling_bytes", m.rolling_bytes);
  visit("signature_requests", m.signature_requests);
}
template <typename Visit>
void members(PeerStatus& p, Visit&& visit) {
  visit("name", p.name);
  visit("connected", p.connected);
  visit("phase", p.phase);
  visit("lag_seconds", p.lag_seconds);
  visit("lag_paths", p.lag_paths);
  visit("lag_bytes", p.lag_bytes);
  visit("acked_applied_cut", p.acked_applied_cut);
  visit("acked_durable_cut", p.acked_durable_cut);
  visit("loose_since_cut", p.loose_since_cut);
  visit("large_files", p.large_files);
  visit("held_back", p.held_back);
  visit("progress", p.progress);
  visit("hold", p.hold);
  visit("held_keys", p.held_keys);
  visit("hot_files", p.hot_files);
  visit("last_error", p.last_error);
  visit("wire", p.wire);
  visit("methods", p.methods);
  visit("bandwidth_limit", p.bandwidth_limit);
  visit("transport", p.transport);
}
template <typename Visit>
void members(Verification& v, Visit&& visit) {
  visit("equal", v.equal);
  visit("full", v.full);
  visit("at_unix_seconds", v.at_unix_seconds);
  visit("cut", v.cut);
  visit("peer", v.peer);
}
template <typename Visit>
void members(TreeStatus& s, Visit&& visit) {
  visit("version", s.version);
  visit("tree", s.tree);
  visit("node", s.node);
  visit("root", s.root);
  visit("role", s.role);
  visit("state", s.state);
  visit("epoch", s.epoch);
  visit("reign", s.reign);
  visit("cut", s.cut);
  visit("current", s.current);
  visit("primary", s.primary);
  visit("incomplete", s.incomplete);
  visit("consistency", s.consistency);
  visit("unordered_cuts", s.unordered_cuts);
  visit("watch_mode", s.watch_mode);
  visit("watch_why", s.watch_why);
  visit("holds", s.holds);
  visit("held_keys", s.held_keys);
  visit("held_keys_total", s.held_keys_total);
  visit("errors", s.errors);
  visit("scrub_verified_unix_seconds", s.scrub_verified_unix_seconds);
  visit("scrub_running", s.scrub_running);
  visit("entries", s.entries);
  visit("bytes", s.bytes);
  visit("peers", s.peers);
  visit("last_verification", s.last_verification);
  visit("guard", s.guard);
  visit("io_backend", s.io_backend);
  visit("started_unix_seconds", s.started_unix_seconds);
}

namespace {

Json write(std::string& v) { return v; }
Json write(bool& v) { return v; }
Json write(double& v) { return v; }
Json write(uint64_t& v) { return v; }
Json write(int64_t& v) { return v; }
template <typename Record>
Json write(Record& record);
template <typename Item>
Json write(std::vector<Item>& items) {
  Json out = Json::array();
  for (Item& item : items) out.push_back(write(item));
  return out;
}
template <typename Item>
Json write(std::optional<Item>& item) {
  return item ? write(*item) : Json(nullptr);
}
template <typename Record>
Json write(Record& record) {
  Json out = Json::object();
  members(record, [&](const char* name, auto& member) { out[name] = write(member); });
  return out;
}

void read(const Json& from, std::string& v) {
  if (from.is_string()) v = from.get<std::string>();
}
void read(const Json& from, bool& v) {
  if (from.is_boolean()) v = from.get<bool>();
}
void read(const Json& from, double& v) {
  if (from.is_number()) v = from.get<double>();
}
void read(const Json& from, uint64_t& v) {
  if (from.is_number_unsigned()) v = from.get<uint64_t>();
}
void read(const Json& from, int64_t& v) {
  if (from.is_number_integer()) v = from.get<int64_t>();
}
template <typename Record>
void read(const Json& from, Record& record);
template <typename Item>
void read(const Json& from, std::vector<Item>& items) {
  if (!from.is_array()) return;
  for (const Json& value : from) read(value, items.emplace_back());
}
template <typename Item>
void read(const Json& from, std::optional<Item>& item) {
  if (from.is_object()) read(from, item.emplace());
}
template <typename Record>
void read(const Json& from, Record& record) {
  if (!from.is_object()) return;
  members(record, [&](const char* name, auto& member) {
    const auto found = from.find(name);
    if (found != from.end()) read(*found, member);
  });
}

class Painter {
 public:
  explicit Painter(bool on) : on_(on) {}
  [[nodiscard]] std::string good(std::string_view text) const { return paint("32", text); }
  [[nodiscard]] std::string bad(std::string_view text) const { return paint("31", text); }
  [[nodiscard]] std::string busy(std::string_view text) const { return paint("33", text); }
  [[nodiscard]] std::string bold(std::string_view text) const { return paint("1", text); }

 private:
  [[nodiscard]] std::string paint(std::string_view code, std::string_view text) const {
    return on_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
  }
  bool on_;
};

std::string render_peer(const PeerStatus& peer, const Painter& paint) {
  std::string out = fmt::format("  peer      {}", paint.bold(peer.name));
  if (!peer.transport.empty()) out += fmt::format(" ({})", peer.transport);
  out += ": ";
  if (!peer.connected)
    out += paint.bad("away");
  else if (!peer.hold.empty())
    out += paint.bad("held");
  else if (peer.lag_paths == 0)
    out += paint.good(peer.phase);
  else
    out += paint.busy(peer.phase);
  if (peer.lag_paths > 0) {
    out += fmt::format(", behind by {}, {}, {}", human_seconds(peer.lag_seconds),
                       counted(peer.lag_paths, "path", "paths"), human_bytes(peer.lag_bytes));
  } else if (peer.connected) {
    out += ", no lag";
  }
  out += fmt::format(", cut {} durable\n", peer.acked_durable_cut);
  if (peer.progress && peer.progress->bytes_total > 0) {
    const TransferProgress& p = *peer.progress;
    out += fmt::format("            sending {} of {} files, {} of {}\n", p.files_done,
                       p.files_total, human_bytes(p.bytes_done), human_bytes(p.bytes_total));
  }
  if (peer.loose_since_cut > 0) {
    out += fmt::format("            loose since cut {}: {} under way", peer.loose_since_cut,
                       counted(peer.large_files, "large file", "large files"));
    if (peer.held_back > 0) {
      out += fmt::format(", {} of removals and replacements behind",
                         counted(peer.held_back, "path", "paths"));
    }
    out += "\n";
  }
  if (peer.wire.bytes_out + peer.wire.bytes_in > 0) {
    out += fmt::format("            wire {} out, {} in", human_bytes(peer.wire.bytes_out),
                       human_bytes(peer.wire.bytes_in));
    if (peer.bandwidth_limit > 0) {
      out += fmt::format(", limited to {}/s", human_bytes(peer.bandwidth_limit));
    }
    if (!peer.wire.bottleneck.empty()) {
      out += fmt::format("; the {} is the limit, zstd level {}", peer.wire.bottleneck,
                         peer.wire.zstd_level);
    }
    out += "\n";
  }
  if (!peer.hold.empty()) out += fmt::format("            {} {}\n", paint.bad("held:"), peer.hold);
  if (peer.held_keys > 0) {
    out += fmt::format("            {} held there\n", counted(peer.held_keys, "path", "paths"));
  }
  if (peer.hot_files > 0) {
    out += fmt::format("            {} that did not hold still, sent as read\n",
                       counted(peer.hot_files, "version of a file", "versions of files"));
  }
  if (!peer.last_error.empty()) out += fmt::format("            last error: {}\n", peer.last_error);
  return out;
}

}  // namespace

std::string to_json(const TreeStatus& status) {
  TreeStatus copy = status;
  return print_json(write(copy));
}

Result<TreeStatus> status_from_json(std::string_view text) {
  const Json value = parse_json(text);
  if (value.is_discarded() || !value.is_object()) {
    return fail(ErrorCode::invalid, "the daemon's status is not a JSON object");
  }
  TreeStatus status;
  read(value, status);
  return status;
}

std::string render(const TreeStatus& s, const RenderOptions& options) {
  const Painter paint(options.color);
  const bool held = !s.holds.empty() || s.held_keys_total > 0;
  std::string out = fmt::format("{}  {} on {}, {}\n", paint.bold(s.tree), s.role, s.node,
                                held                  ? paint.bad(s.state)
                                : s.state == "synced" ? paint.good(s.state)
                                                      : paint.busy(s.state));
  out += fmt::format("  root      {}: {}, {}\n", s.root, counted(s.entries, "entry", "entries"),
                     human_bytes(s.bytes));
  out += fmt::format("  position  epoch {}, cut {}{}\n", s.epoch, s.cut,
                     s.unordered_cuts > 0
                         ? fmt::format(" ({} not exact)", counted(s.unordered_cuts, "cut", "cuts"))
                         : "");
  if (s.incomplete) out += "  cut       not whole: part of what the primary had is still to come\n";
  if (s.consistency == "unordered")
    out += "  cut       not exact: what it holds changed while it was made\n";
  if (!s.watch_mode.empty()) {
    out += fmt::format("  watch     {}{}\n", s.watch_mode,
                       s.watch_why.empty() ? "" : fmt::format(" ({})", s.watch_why));
  }
  if (!s.guard.empty() && s.guard != "off")
    out += fmt::format("  guard     the tree is {} here\n", s.guard);
  for (const std::string& hold : s.holds)
    out += fmt::format("  {}      {}\n", paint.bad("held"), hold);
  if (s.held_keys_total > 0) {
    const std::string paths = counted(s.held_keys_total, "path", "paths");
    const std::string what =
        s.role == "primary"
            ? fmt::format("{}, not removed on the peers", paths)
            : fmt::format(
                  "{} wait for a decision (`repl approve {}` takes the primary's version "
                  "and keeps these)",
                  paths, s.tree);
    out += fmt::format("  {}      {}:\n", paint.bad("held"), what);
    for (const std::string& key : s.held_keys) out += fmt::format("            {}\n", key);
    if (s.held_keys_total > s.held_keys.size()) {
      out += fmt::format("            ... and {} more\n", s.held_keys_total - s.held_keys.size());
    }
  }
  for (const std::string& error : s.errors)
    out += fmt::format("  {}     {}\n", paint.bad("error"), error);
  for (const PeerStatus& peer : s.peers) out += render_peer(peer, paint);
  if (s.scrub_verified_unix_seconds > 0) {
    const auto ago = static_cast<double>(options.now_unix_seconds - s.scrub_verified_unix_seconds);
    out += fmt::format("  scrubbed  every file was read within the last {}\n",
                       human_seconds(std::max(0.0, ago)));
  }
  if (s.last_verification) {
    const Verification& v = *s.last_verification;
    const double ago = static_cast<double>(options.now_unix_seconds - v.at_unix_seconds);
    out += fmt::format("  verified  {} with {} at cut {}, {} ago{}\n",
                       v.equal ? paint.good("equal") : paint.bad("different"), v.peer, v.cut,
                       human_seconds(std::max(0.0, ago)), v.full ? ", all bytes read" : "");
  } else {
    out += "  verified  never since start\n";
  }
  return out;
}

std::string counted(uint64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string human_bytes(uint64_t bytes) {
  static constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  // 1023.95 would print as 1024.0 of the smaller unit.
  while (value >= 1023.95 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string human_seconds(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<uint64_t>(std::min(seconds + 0.5, 1e15));
  if (whole < 3600) return fmt::format("{} m {} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {} m", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} d {} h", whole / 86400, whole % 86400 / 3600);
}

}  // namespace repl::cli
