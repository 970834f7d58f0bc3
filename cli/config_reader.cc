#include "cli/config_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/config.h"
#include "engine/base/escape.h"

namespace repl::cli {
namespace {

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a number";
    case toml::node_type::floating_point:
      return "a fraction";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

}  // namespace

void Faults::add(const toml::source_region& where, std::string message) {
  const uint32_t line = where.begin.line;
  messages_.emplace_back(line, fmt::format("{}:{}: {}", file_, line, message));
}

Error Faults::error() const {
  auto sorted = messages_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (const auto& [line, message] : sorted) text += (text.empty() ? "" : "\n") + message;
  return make_error(ErrorCode::invalid, std::move(text));
}

const toml::node* TableReader::find(std::string_view key) {
  known_.emplace_back(key);
  return table_.get(key);
}

void TableReader::wrong_type(std::string_view key, const toml::node& node,
                             std::string_view wanted) {
  fault(key, fmt::format("{} {} must be {}, not {}", where_, key, wanted, type_name(node)));
}

std::optional<std::string> TableReader::text(std::string_view key) {
  const toml::node* node = find(key);
  if (!node) return {};
  const auto value = node->value_exact<std::string>();
  if (!value) wrong_type(key, *node, "a text");
  if (value && value->find('\0') != std::string::npos) {
    fault(key, fmt::format("{} {} holds a NUL byte", where_, key));
    return {};
  }
  return value;
}

std::optional<uint64_t> TableReader::number(std::string_view key, uint64_t min, uint64_t max) {
  const toml::node* node = find(key);
  if (!node) return {};
  const auto value = node->value_exact<int64_t>();
  if (!value) {
    wrong_type(key, *node, "a number");
    return {};
  }
  if (*value < 0 || static_cast<uint64_t>(*value) < min || static_cast<uint64_t>(*value) > max) {
    fault(key, fmt::format("{} {} = {} is outside {} to {}", where_, key, *value, min, max));
    return {};
  }
  return static_cast<uint64_t>(*value);
}

std::optional<uint64_t> TableReader::number_or(std::string_view word, bool& is_word,
                                               std::string_view key, uint64_t min, uint64_t max) {
  const toml::node* node = table_.get(key);
  const auto written = node ? node->value_exact<std::string>() : std::nullopt;
  is_word = written == word;
  if (!written) return number(key, min, max);
  static_cast<void>(find(key));
  if (!is_word) {
    fault(key, fmt::format("{} {} = \"{}\" must be a number or \"{}\"", where_, key,
                           escape(*written), word));
  }
  return {};
}

std::optional<bool> TableReader::flag(std::string_view key) {
  const toml::node* node = find(key);
  if (!node) return {};
  const auto value = node->value_exact<bool>();
  if (!value) wrong_type(key, *node, "true or false");
  return value;
}

std::optional<std::vector<std::string>> TableReader::texts(std::string_view key) {
  const toml::node* node = find(key);
  if (!node) return {};
  if (const auto one = node->value_exact<std::string>()) return std::vector<std::string>{*one};
  const toml::array* list = node->as_array();
  if (!list) {
    wrong_type(key, *node, "a list of texts");
    return {};
  }
  std::vector<std::string> out;
  for (const toml::node& item : *list) {
    const auto value = item.value_exact<std::string>();
    if (!value) {
      faults_.add(item.source(), fmt::format("{} {} must be a list of texts, but holds {}", where_,
                                             key, type_name(item)));
      return {};
    }
    out.push_back(*value);
  }
  return out;
}

const toml::table* TableReader::table(std::string_view key) {
  const toml::node* node = find(key);
  if (!node) return nullptr;
  if (!node->is_table()) wrong_type(key, *node, fmt::format("a table, [...{}]", key));
  return node->as_table();
}

std::optional<uint64_t> TableReader::bandwidth(std::string_view key) {
  const toml::node* node = find(key);
  if (!node) return {};
  std::string text;
  if (const auto bytes = node->value_exact<int64_t>()) {
    text = std::to_string(*bytes);
  } else if (const auto written = node->value_exact<std::string>()) {
    text = *written;
  } else {
    wrong_type(key, *node, "a text such as \"10M\"");
    return {};
  }
  const Result<uint64_t> value = parse_bandwidth(text);
  if (value) return *value;
  fault(key, fmt::format("{} {}: {}", where_, key, value.error().message));
  return {};
}

std::optional<size_t> TableReader::choice(std::string_view key,
                                          const std::vector<std::string>& choices) {
  const std::optional<std::string> value = text(key);
  if (!value) return {};
  const auto found = std::find(choices.begin(), choices.end(), *value);
  if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
  std::string all;
  for (const std::string& choice : choices) {
    all += fmt::format("{}\"{}\"", all.empty() ? "" : " or ", choice);
  }
  fault(key, fmt::format("{} {} = \"{}\" must be {}", where_, key, escape(*value), all));
  return {};
}

void TableReader::each_table(
    const std::function<void(const std::string& name, const toml::table&)>& each) {
  for (const auto& [key, node] : table_) {
    const std::string name(key.str());
    known_.push_back(name);
    if (const toml::table* inner = node.as_table()) {
      each(name, *inner);
    } else {
      wrong_type(name, node, "a table of its own");
    }
  }
}

void TableReader::fault(std::string_view key, std::string message) {
  const toml::node* node = table_.get(key);
  faults_.add(node ? node->source() : table_.source(), std::move(message));
}

void TableReader::unknown_keys() {
  for (const auto& [key, node] : table_) {
    const std::string name(key.str());
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    const auto near = nearest(name, known_);
    std::string all;
    for (const std::string& known : known_) all += (all.empty() ? "" : ", ") + known;
    faults_.add(key.source(),
                fmt::format("{} has no key \"{}\"; {}", where_, escape(name),
                            near ? fmt::format("did you mean \"{}\"?", *near) : "keys: " + all));
  }
}

}  // namespace repl::cli
