#include "cli/difference_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/status_view.h"
#include "engine/base/limits.h"

namespace repl::cli {
namespace {

std::string render_item(const Json& item, bool keeps) {
  const std::string change = get_text(item, "change"), type = get_text(item, "type");
  const bool has_content = type == "file" && (change == "new" || change == "changed");
  std::string path = get_text(item, "path");
  if (path.empty()) path = ".";
  if (type == "directory") path += '/';
  return fmt::format("  {:<10}  {}{:>10}  {}\n", change,
                     !keeps                   ? ""
                     : get_bool(item, "kept") ? "kept aside  "
                                              : "            ",
                     has_content ? human_bytes(get_number<uint64_t>(item, "bytes")) : "", path);
}

// "3 new, 1 deleted; 1.2 MiB in files"
std::string render_sums(const Json& result) {
  static constexpr std::array<std::array<const char*, 2>, 4> kinds = {
      {{"new", "new"},
       {"changed", "changed"},
       {"attributes", "in attributes alone"},
       {"deleted", "deleted"}}};
  std::string out;
  for (const auto& [key, word] : kinds) {
    const auto count = get_number<uint64_t>(get_member(result, "counts"), key);
    if (count > 0) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", count, word);
  }
  if (out.empty()) return out;
  return fmt::format("  {}; {} in files\n", out,
                     human_bytes(get_number<uint64_t>(result, "bytes")));
}

}  // namespace

uint64_t differences(const Json& result) {
  uint64_t sum = 0;
  for (const char* key : {"new", "changed", "attributes", "deleted"}) {
    sum += get_number<uint64_t>(get_member(result, "counts"), key);
  }
  return std::max<uint64_t>(sum, get_member(result, "items").size());
}

std::string render_differences(const Json& result) {
  const uint64_t all = differences(result);
  if (all == 0) return {};
  const bool keeps = get_number<uint64_t>(get_member(result, "counts"), "kept") > 0;
  const Json& items = get_member(result, "items");
  const size_t shown = std::min(items.size(), limits::difference_lines_max);
  std::string out;
  size_t left = shown;
  for (const Json& item : items) {
    if (left-- == 0) break;
    if (item.is_object()) out += render_item(item, keeps);
  }
  if (all > shown) {
    out += fmt::format("  ... and {} more ({})\n", all - shown,
                       get_bool(result, "truncated")
                           ? fmt::format("--json lists the first {}", items.size())
                           : "--json lists all");
  }
  return out + render_sums(result);
}

}  // namespace repl::cli
