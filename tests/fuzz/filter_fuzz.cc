// Any rules are refused or answer for any path, and for a path as they do on the way to it. Input:
// rules, NUL, a pattern of `include` (may be empty), NUL, the path.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/limits.h"
#include "engine/model/filter.h"

using namespace repl;

namespace {
std::string_view take(std::string_view& rest) {
  const std::string_view head = rest.substr(0, rest.find('\0'));
  rest.remove_prefix(head.size() == rest.size() ? head.size() : head.size() + 1);
  return head;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  auto rules = parse_filter_rules(take(rest));
  if (!rules) return 0;
  std::vector<std::string> only;
  if (const auto pattern = take(rest); !pattern.empty()) only.emplace_back(pattern);
  const auto filter = Filter::make(*rules, only);
  if (!filter) return 0;
  const auto again = Filter::make(*rules, only);
  REPL_CHECK(again && again->hash() == filter->hash());
  // Callers hold legal paths only: no empty component, none with NUL.
  const std::string_view path = take(rest);
  if (path.empty() || path.front() == '/' || path.back() == '/') return 0;
  if (path.find("//") != path.npos) return 0;
  for (const bool is_directory : {false, true}) {
    const Membership whole = filter->membership_of_path(path, is_directory);
    bool reachable = true;
    for (size_t end = path.find('/'); reachable && end != path.npos; end = path.find('/', end + 1))
      reachable = filter->membership(path.substr(0, end), true) != Membership::excluded;
    const Membership walked =
        reachable ? filter->membership(path, is_directory) : Membership::excluded;
    REPL_CHECK(walked == whole);
    if (filter->includes_everything()) REPL_CHECK(whole == Membership::included);
  }
  REPL_CHECK(filter->same_below(path, path));
  return 0;
}
