#include "engine/model/filter.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/bytes.h"
#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/model/hash.h"
#include "engine/model/wildcard.h"

namespace repl {

struct Filter::Compiled {
  struct Rule {
    bool include;
    Wildcard wildcard;
  };
  std::vector<Rule> rules;
  std::vector<Wildcard> only;
  bool excludes_anything = false;
  Bits128 hash;

  [[nodiscard]] bool rules_exclude(const SlashedPath& path, bool is_directory) const {
    if (!excludes_anything) return false;
    for (const Rule& rule : rules) {
      if (rule.wildcard.matches(path, is_directory)) return !rule.include;
    }
    return false;
  }
  // The path itself, or a directory that it lies below, matches an `only` pattern.
  [[nodiscard]] bool within_only(std::string_view path, bool is_directory) const {
    for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
      const bool whole = end == std::string_view::npos;
      const SlashedPath part(path.substr(0, end));
      for (const Wildcard& wildcard : only) {
        if (wildcard.matches(part, whole ? is_directory : true)) return true;
      }
      if (whole) return false;
    }
  }
};

namespace {

Bits128 hash_of(const std::vector<FilterRule>& rules, std::vector<std::string> only) {
  std::sort(only.begin(), only.end());
  only.erase(std::unique(only.begin(), only.end()), only.end());
  std::string record;
  ByteWriter out(record);
  out.string("repl filter 1");
  out.varint(rules.size());
  for (const FilterRule& rule : rules) {
    out.u8(rule.include ? 1 : 0);
    out.string(rule.pattern);
  }
  out.varint(only.size());
  for (const std::string& pattern : only) out.string(pattern);
  return hash_bytes(record);
}

}  // namespace

Filter::Filter() {
  auto compiled = std::make_shared<Compiled>();
  compiled->hash = hash_of({}, {});
  compiled_ = std::move(compiled);
}

Result<Filter> Filter::make(std::vector<FilterRule> rules, std::vector<std::string> only) {
  if (rules.size() + only.size() > limits::filter_rules_max) {
    return fail(ErrorCode::limit, fmt::format("more than {} filter rules; patterns such as "
                                              "\"*.tmp\" or \"dir/***\" say the same in few",
                                              limits::filter_rules_max));
  }
  auto compiled = std::make_shared<Compiled>();
  for (const FilterRule& rule : rules) {
    Result<Wildcard> wildcard = Wildcard::compile(rule.pattern);
    if (!wildcard) return fail(wildcard.error());
    compiled->excludes_anything |= !rule.include;
    compiled->rules.push_back({rule.include, std::move(*wildcard)});
  }
  for (const std::string& pattern : only) {
    Result<Wildcard> wildcard = Wildcard::compile(pattern);
    if (!wildcard) return fail(wildcard.error());
    compiled->only.push_back(std::move(*wildcard));
  }
  compiled->hash = hash_of(rules, std::move(only));
  Filter filter;
  filter.compiled_ = std::move(compiled);
  return filter;
}

Membership Filter::membership(std::string_view path, bool is_directory) const {
  if (includes_everything()) return Membership::included;
  if (path.empty()) return root_is_included() ? Membership::included : Membership::transit;
  if (compiled_->rules_exclude(SlashedPath(path), is_directory)) return Membership::excluded;
  if (compiled_->only.empty() || compiled_->within_only(path, is_directory)) {
    return Membership::included;
  }
  if (!is_directory) return Membership::excluded;
  for (const Wildcard& wildcard : compiled_->only) {
    if (!wildcard.states_below(path).empty()) return Membership::transit;
  }
  return Membership::excluded;
}

Membership Filter::membership_of_path(std::string_view path, bool is_directory) const {
  if (includes_everything()) return Membership::included;
  for (size_t end = path.find('/'); end != std::string_view::npos; end = path.find('/', end + 1)) {
    if (membership(path.substr(0, end), true) == Membership::excluded) return Membership::excluded;
  }
  return membership(path, is_directory);
}

bool Filter::same_below(std::string_view path_a, std::string_view path_b) const {
  if (path_a == path_b || includes_everything()) return true;
  if (compiled_->excludes_anything) {
    for (const Compiled::Rule& rule : compiled_->rules) {
      if (rule.wildcard.states_below(path_a) != rule.wildcard.states_below(path_b)) return false;
    }
  }
  if (compiled_->only.empty()) return true;
  const bool within = compiled_->within_only(path_a, true);
  if (within != compiled_->within_only(path_b, true)) return false;
  if (within) return true;
  return std::all_of(compiled_->only.begin(), compiled_->only.end(), [&](const Wildcard& w) {
    return w.states_below(path_a) == w.states_below(path_b);
  });
}

bool Filter::includes_everything() const {
  return !compiled_->excludes_anything && compiled_->only.empty();
}

bool Filter::root_is_included() const { return compiled_->only.empty(); }

Bits128 Filter::hash() const { return compiled_->hash; }

Result<std::vector<FilterRule>> parse_filter_rules(std::string_view text) {
  std::vector<FilterRule> rules;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    FilterRule rule;
    bool known = false;
    for (const auto& [word, include] : {std::pair<std::string_view, bool>{"-", false},
                                        {"+", true},
                                        {"exclude", false},
                                        {"include", true}}) {
      // A space or, as rsync has it, an underscore ends the word; all after it is the pattern.
      if (!line.starts_with(word) || line.size() <= word.size()) continue;
      if (line[word.size()] != ' ' && line[word.size()] != '_') continue;
      rule.include = include;
      rule.pattern = line.substr(word.size() + 1);
      known = true;
      break;
    }
    if (!known || rule.pattern.empty()) {
      return fail(ErrorCode::invalid,
                  fmt::format("filter rule {}: \"{}\" is not a rule; write \"- PATTERN\" or "
                              "\"+ PATTERN\" (other rule types of rsync have no meaning here)",
                              number, escape(line)));
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

}  // namespace repl
