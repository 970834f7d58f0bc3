// wildcard.h: one of rsync's filter patterns, compiled.
//
// What rsync does (its exclude.c and wildmatch.c, tried against rsync itself in
// filter_rsync_test.cc): a leading
// '/' anchors to the root; a pattern with neither an inner '/' nor "**" is matched against the last
// component; one with an inner '/' against as many last components as it has; one with "**" after
// every '/', unless it begins with "**", which is matched once against '/' + path. '*' and '?' and
// classes never match '/'. A trailing '/' restricts to directories; a trailing "/***" matches the
// directory and everything below. Without any of "*?[" a backslash is an ordinary character, with
// one it quotes.
//
// Matching takes at most length(pattern) * length(path) steps. Thread: immutable.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace repl {

// A path with the slashes that some patterns want around it; made once per path, for all patterns.
class SlashedPath {
 public:
  explicit SlashedPath(std::string_view path);
  // "/path/" with each end only if asked for.
  [[nodiscard]] std::string_view view(bool leading, bool trailing) const;

 private:
  std::string text_;
};

class Wildcard {
 public:
  // Errors name the pattern and what is wrong with it (empty, an unclosed class, a lone backslash
  // at the end).
  [[nodiscard]] static Result<Wildcard> compile(std::string_view pattern);

  [[nodiscard]] bool matches(const SlashedPath& path, bool is_directory) const;

  // The states of the pattern's automaton after "path/": what is below can be told apart by nothing
  // else. Empty: nothing below can match.
  using States = std::vector<uint32_t>;
  [[nodiscard]] States states_below(std::string_view path) const;

 private:
  enum class Kind : uint8_t { literal, any, star, double_star, set };
  struct Token {
    Kind kind;
    char byte = 0;     // literal
    uint16_t set = 0;  // index into sets_
  };
  // Where a match may begin.
  enum class Start : uint8_t {
    root,           // at the first byte
    root_slash,     // at a '/' put before the first byte
    last_elements,  // elements_ components before the end
    any_element,    // at the first byte and after every '/'
  };
  [[nodiscard]] Status compile_tokens(std::string_view body, std::string_view whole);
  [[nodiscard]] Status compile_class(std::string_view body, size_t& at, std::string_view whole);
  [[nodiscard]] bool accepts(const Token& token, char byte) const;
  [[nodiscard]] bool matches_from(std::string_view text) const;
  void step(States& states, char byte) const;
  void close(States& states) const;

  std::vector<Token> tokens_;
  std::vector<std::bitset<256>> sets_;
  Start start_ = Start::any_element;
  uint32_t elements_ = 1;
  bool directory_only_ = false;
  bool matches_itself_ = false;  // trailing "/***"
};

}  // namespace repl
