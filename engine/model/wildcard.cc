#include "engine/model/wildcard.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "engine/base/escape.h"
#include "engine/base/limits.h"

namespace repl {
namespace {

constexpr std::string_view special_bytes = "*?[";

std::unexpected<Error> bad(std::string_view pattern, std::string_view why) {
  return fail(ErrorCode::invalid, fmt::format("filter pattern \"{}\": {}", escape(pattern), why));
}

// The C locale's classes, written out: ctype(3) follows the process's locale, two nodes may differ
// in it.
bool in_class(std::string_view name, unsigned char c, bool& known) {
  const bool upper = c >= 'A' && c <= 'Z';
  const bool lower = c >= 'a' && c <= 'z';
  const bool digit = c >= '0' && c <= '9';
  const bool graph = c > 0x20 && c < 0x7F;
  known = true;
  if (name == "alnum") return upper || lower || digit;
  if (name == "alpha") return upper || lower;
  if (name == "blank") return c == ' ' || c == '\t';
  if (name == "cntrl") return c < 0x20 || c == 0x7F;
  if (name == "digit") return digit;
  if (name == "graph") return graph;
  if (name == "lower") return lower;
  if (name == "print") return graph || c == ' ';
  if (name == "punct") return graph && !(upper || lower || digit);
  if (name == "space") return c == ' ' || (c >= '\t' && c <= '\r');
  if (name == "upper") return upper;
  if (name == "xdigit") return digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  known = false;
  return false;
}

}  // namespace

SlashedPath::SlashedPath(std::string_view path) {
  text_.reserve(path.size() + 2);
  text_.push_back('/');
  text_.append(path);
  text_.push_back('/');
}

std::string_view SlashedPath::view(bool leading, bool trailing) const {
  std::string_view text = text_;
  if (!leading) text.remove_prefix(1);
  if (!trailing) text.remove_suffix(1);
  return text;
}

Result<Wildcard> Wildcard::compile(std::string_view pattern) {
  if (pattern.empty()) return bad(pattern, "is empty");
  if (pattern == "/") return bad(pattern, "matches nothing; \"/**\" is everything");
  if (pattern.size() > limits::filter_pattern_bytes_max) {
    return bad(pattern.substr(0, 40),
               fmt::format("is longer than {} bytes", limits::filter_pattern_bytes_max));
  }
  if (pattern.find('\0') != std::string_view::npos) return bad(pattern, "holds a NUL byte");

  Wildcard out;
  std::string_view body = pattern;
  if (body.back() == '/') {
    out.directory_only_ = true;
    body.remove_suffix(1);
  }
  const bool wild = body.find_first_of(special_bytes) != std::string_view::npos;
  const size_t double_star = body.find("**");
  const auto slashes = static_cast<uint32_t>(std::count(body.begin(), body.end(), '/'));
  out.matches_itself_ = body.ends_with("***");
  if (body.front() == '/') {
    out.start_ = Start::root;
    body.remove_prefix(1);
  } else if (double_star == 0) {
    out.start_ = Start::root_slash;
  } else if (double_star != std::string_view::npos) {
    out.start_ = Start::any_element;
  } else {
    out.start_ = Start::last_elements;
    out.elements_ = slashes + 1;
  }
  if (!wild) {
    for (const char c : body) out.tokens_.push_back({Kind::literal, c});
    return out;
  }
  if (Status compiled = out.compile_tokens(body, pattern); !compiled) return fail(compiled.error());
  return out;
}

Status Wildcard::compile_tokens(std::string_view body, std::string_view whole) {
  for (size_t i = 0; i < body.size(); ++i) {
    switch (body[i]) {
      case '*': {
        const size_t first = i;
        while (i + 1 < body.size() && body[i + 1] == '*') ++i;
        tokens_.push_back({i > first ? Kind::double_star : Kind::star});
        break;
      }
      case '?':
        tokens_.push_back({Kind::any});
        break;
      case '[':
        if (Status done = compile_class(body, i, whole); !done) return done;
        break;
      case '\\':
        if (i + 1 == body.size()) return bad(whole, "ends in a backslash that quotes nothing");
        tokens_.push_back({Kind::literal, body[++i]});
        break;
      default:
        tokens_.push_back({Kind::literal, body[i]});
    }
  }
  return {};
}

// `at` is at the '[', and at the ']' afterwards. As rsync: a ']' right after the '[' (or '[!') is a
// member, a '-' that has no left or right neighbour is itself, "[:" without ":]" is an ordinary
// '['.
Status Wildcard::compile_class(std::string_view body, size_t& at, std::string_view whole) {
  std::bitset<256> set;
  size_t i = at + 1;
  const bool negated = i < body.size() && (body[i] == '!' || body[i] == '^');
  if (negated) ++i;
  int previous = 0;  // 0: no left end for a range
  for (bool first = true;; first = false, ++i) {
    if (i >= body.size()) return bad(whole, "has a '[' without its ']' (a literal '[' is \"\\[\")");
    auto c = static_cast<unsigned char>(body[i]);
    if (c == ']' && !first) break;
    if (c == '\\') {
      if (++i >= body.size()) return bad(whole, "has a '[' without its ']'");
      c = static_cast<unsigned char>(body[i]);
      set.set(c);
      previous = c;
    } else if (c == '-' && previous != 0 && i + 1 < body.size() && body[i + 1] != ']') {
      if (body[++i] == '\\' && ++i >= body.size()) return bad(whole, "has a '[' without its ']'");
      const auto last = static_cast<unsigned char>(body[i]);
      for (int b = previous; b <= last; ++b) set.set(static_cast<size_t>(b));
      previous = 0;
    } else if (c == '[' && i + 1 < body.size() && body[i + 1] == ':') {
      const size_t end = body.find(']', i + 2);
      if (end == std::string_view::npos) return bad(whole, "has a '[' without its ']'");
      if (end < i + 3 || body[end - 1] != ':') {
        set.set('[');
        previous = '[';
        continue;
      }
      const std::string_view name = body.substr(i + 2, end - i - 3);
      bool known = false;
      for (int b = 0; b < 256; ++b) {
        if (in_class(name, static_cast<unsigned char>(b), known)) set.set(static_cast<size_t>(b));
      }
      if (!known) return bad(whole, fmt::format("has the unknown class [:{}:]", escape(name)));
      i = end;
      previous = 0;
    } else {
      set.set(c);
      previous = c;
    }
  }
  if (negated) set.flip();
  set.reset('/');
  at = i;
  tokens_.push_back({Kind::set, 0, static_cast<uint16_t>(sets_.size())});
  sets_.push_back(set);
  return {};
}

bool Wildcard::accepts(const Token& token, char byte) const {
  switch (token.kind) {
    case Kind::literal:
      return byte == token.byte;
    case Kind::any:
    case Kind::star:
      return byte != '/';
    case Kind::double_star:
      return true;
    case Kind::set:
      return sets_[token.set].test(static_cast<unsigned char>(byte));
  }
  return false;
}

// Backtracks to the last star only: whatever an earlier one could still give, the later one has
// tried. A '*' that meets '/' is spent, then the last "**" before it goes on.
bool Wildcard::matches_from(std::string_view text) const {
  constexpr size_t none = SIZE_MAX;
  size_t t = 0, p = 0;
  size_t star_p = none, star_t = 0, double_p = none, double_t = 0;
  while (true) {
    if (p < tokens_.size() && tokens_[p].kind == Kind::star) {
      star_p = p++;
      star_t = t;
      continue;
    }
    if (p < tokens_.size() && tokens_[p].kind == Kind::double_star) {
      if (++p == tokens_.size()) return true;
      double_p = p - 1;
      double_t = t;
      star_p = none;
      continue;
    }
    if (p == tokens_.size() ? t == text.size() : t < text.size() && accepts(tokens_[p], text[t])) {
      if (p == tokens_.size()) return true;
      ++p;
      ++t;
      continue;
    }
    if (star_p != none && star_t < text.size() && text[star_t] != '/') {
      t = ++star_t;
      p = star_p + 1;
    } else if (double_p != none && double_t < text.size()) {
      t = ++double_t;
      p = double_p + 1;
      star_p = none;
    } else {
      return false;
    }
  }
}

bool Wildcard::matches(const SlashedPath& path, bool is_directory) const {
  if (directory_only_ && !is_directory) return false;
  const bool trailing = is_directory && matches_itself_;
  switch (start_) {
    case Start::root:
      return matches_from(path.view(false, trailing));
    case Start::root_slash:
      return matches_from(path.view(true, trailing));
    case Start::last_elements: {
      std::string_view text = path.view(true, false);
      size_t slash = text.size();
      for (uint32_t n = 0; n < elements_; ++n) {
        if (slash == 0) return false;
        slash = text.rfind('/', slash - 1);
      }
      return matches_from(text.substr(slash + 1));
    }
    case Start::any_element: {
      std::string_view text = path.view(false, trailing);
      while (!matches_from(text)) {
        const size_t slash = text.find('/');
        if (slash == std::string_view::npos) return false;
        text.remove_prefix(slash + 1);
      }
      return true;
    }
  }
  return false;
}

// A star may match nothing: its successor is a state too.
void Wildcard::close(States& states) const {
  for (size_t i = 0; i < states.size(); ++i) {
    const uint32_t p = states[i];
    if (p >= tokens_.size()) continue;
    if (tokens_[p].kind == Kind::star || tokens_[p].kind == Kind::double_star) {
      states.push_back(p + 1);
    }
  }
  std::sort(states.begin(), states.end());
  states.erase(std::unique(states.begin(), states.end()), states.end());
}

void Wildcard::step(States& states, char byte) const {
  States next;
  for (const uint32_t p : states) {
    if (p >= tokens_.size() || !accepts(tokens_[p], byte)) continue;
    const bool stays = tokens_[p].kind == Kind::star || tokens_[p].kind == Kind::double_star;
    next.push_back(stays ? p : p + 1);
  }
  if (byte == '/' && start_ != Start::root && start_ != Start::root_slash) next.push_back(0);
  close(next);
  states = std::move(next);
}

Wildcard::States Wildcard::states_below(std::string_view path) const {
  States states{0};
  close(states);
  if (start_ == Start::root_slash) step(states, '/');
  for (const char c : path) step(states, c);
  if (!path.empty()) step(states, '/');
  return states;
}

}  // namespace repl
