#include "cli/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/base/escape.h"

namespace repl::cli {

std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    // Levenshtein's distance, one row at a time.
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j <= candidate.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= candidate.size(); ++j) {
        const size_t replaced = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out.empty() ? "none" : out;
}
template <typename Map>
std::vector<std::string> keys_of(const Map& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map) keys.push_back(key);
  return keys;
}

}  // namespace

Result<std::string> find_node(const Config& config, const std::string& wanted,
                              const std::string& hostname) {
  const std::vector<std::string> known = keys_of(config.nodes);
  if (!wanted.empty()) {
    if (config.nodes.contains(wanted)) return wanted;
    const auto near = nearest(wanted, known);
    return fail(
        ErrorCode::invalid,
        fmt::format("{}: there is no [node.{}]{}; nodes: {}", config.file, escape(wanted),
                    near ? fmt::format(" (did you mean \"{}\"?)", *near) : "", joined(known)));
  }
  if (config.nodes.contains(hostname)) return hostname;
  const std::string first = hostname.substr(0, hostname.find('.'));
  if (config.nodes.contains(first)) return first;
  return fail(ErrorCode::invalid,
              fmt::format("{}: no node is named like this host (\"{}\"); say which one it is with "
                          "--node NAME; nodes: {}",
                          config.file, escape(hostname), joined(known)));
}

Result<TreeConfig> find_tree(const Config& config, const std::string& name) {
  const auto found = config.trees.find(name);
  if (found != config.trees.end()) return found->second;
  const std::vector<std::string> known = keys_of(config.trees);
  const auto near = nearest(name, known);
  return fail(
      ErrorCode::invalid,
      fmt::format("{}: there is no [tree.{}]{}; trees: {}", config.file, escape(name),
                  near ? fmt::format(" (did you mean \"{}\"?)", *near) : "", joined(known)));
}

Transport transport_between(const TreeConfig& tree, const std::string& a, const std::string& b) {
  const bool ssh =
      tree.peers.at(a).transport == Transport::ssh || tree.peers.at(b).transport == Transport::ssh;
  return ssh ? Transport::ssh : Transport::tls;
}

bool dials(const TreeConfig& tree, const std::string& self, const std::string& other) {
  if (tree.peers.at(self).transport != tree.peers.at(other).transport) {
    return tree.peers.at(other).transport == Transport::ssh;
  }
  return std::ranges::find(tree.nodes, self) > std::ranges::find(tree.nodes, other);
}

Result<Policy> policy_of(const TreeConfig& tree) {
  Result<Filter> filter = Filter::make(tree.rules, tree.include);
  if (!filter) return fail(filter.error());
  return Policy{.ids_by_name = tree.ids_by_name, .filter = std::move(*filter)};
}

Result<uint64_t> parse_bandwidth(std::string_view text) {
  const auto bad = [&] {
    return fail(ErrorCode::invalid,
                fmt::format("\"{}\" is not a bandwidth; write bytes per second such as "
                            "\"512K\", \"10M\" or \"1.5G\"",
                            escape(text)));
  };
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0) return bad();
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  double factor = 1;
  if (unit == "K" || unit == "k")
    factor = 1024;
  else if (unit == "M" || unit == "m")
    factor = 1024.0 * 1024;
  else if (unit == "G" || unit == "g")
    factor = 1024.0 * 1024 * 1024;
  else if (!unit.empty())
    return bad();
  const double bytes = number * factor;
  if (bytes > 1e18) return bad();
  if (number > 0 && bytes < 1024) {
    return fail(ErrorCode::invalid,
                fmt::format("\"{}\" is less than 1K bytes per second; such a link never "
                            "catches up (leave it out for no limit)",
                            escape(text)));
  }
  return static_cast<uint64_t>(bytes);
}

}  // namespace repl::cli
