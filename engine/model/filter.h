// filter.h: which paths are in the tree. rsync's rules; one implementation for watch, scan, apply
// and comparison.
//
// A path here is relative to the root, without a leading '/', components joined by '/'. Rules are
// tried in order, the first that matches decides; a path that no rule matches is included, unless
// the filter has "only" patterns (the config's `include`): then only what matches one of them (or
// lies below a directory that does) is in the tree, and directories on the way to a possible match
// are `transit`. `only` narrows what the rules left: an include rule exempts from later rules, it
// does not widen `only`.
//
// Thread: immutable after construction, safe from any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/ids.h"

namespace repl {

enum class Membership : uint8_t {
  excluded,  // not in the tree: neither sent, nor deleted, nor looked at
  included,
  transit,  // a directory merely on the way to what is included: created if missing, otherwise left
            // alone
};

// One rule as written: "- *.tmp", "+ /keep/", or with the sign given apart.
struct FilterRule {
  bool include = false;
  std::string
      pattern;  // rsync's: '/' anchors, '*', '?', '**', '[...]', trailing '/' for directories only
};

class Filter {
 public:
  Filter();  // everything is included
  // `only`: the `include` of a tree (empty: everything). Errors name the pattern and what is wrong
  // with it.
  [[nodiscard]] static Result<Filter> make(std::vector<FilterRule> rules,
                                           std::vector<std::string> only);

  // The parents of `path` are taken to be included or transit (callers walk from the root); use
  // `membership_of_path` when they are not known to be.
  [[nodiscard]] Membership membership(std::string_view path, bool is_directory) const;
  [[nodiscard]] Membership membership_of_path(std::string_view path, bool is_directory) const;

  // True if a directory may be moved between the two places as one entry: no rule can tell them
  // apart.
  [[nodiscard]] bool same_below(std::string_view path_a, std::string_view path_b) const;
  // True if the filter includes everything: no path need be built at all.
  [[nodiscard]] bool includes_everything() const;
  // True without `only` patterns: the root's own attributes are replicated.
  [[nodiscard]] bool root_is_included() const;

  // Canonical: equal for equal rules; part of the policy hash.
  [[nodiscard]] Bits128 hash() const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

// Parses rsync's filter lines ("- p", "+ p", "exclude p", "include p"; "#" and ";" comments), one a
// line.
[[nodiscard]] Result<std::vector<FilterRule>> parse_filter_rules(std::string_view text);

}  // namespace repl
