#include "engine/watch/nfs_exports.h"

#include <string>

namespace repl::watch {

namespace {

bool is_octal(char c) { return c >= '0' && c <= '7'; }

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                      (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

bool is_at_or_below(std::string_view path, std::string_view ancestor) {
  if (ancestor == "/") return true;
  return path.starts_with(ancestor) &&
         (path.size() == ancestor.size() || path[ancestor.size()] == '/');
}

}  // namespace

bool is_exported(std::string_view etab, std::string_view root) {
  while (!etab.empty()) {
    const size_t end = etab.find('\n');
    const std::string_view line = etab.substr(0, end);
    etab.remove_prefix(end == std::string_view::npos ? etab.size() : end + 1);
    const std::string path = unescape(line.substr(0, line.find_first_of("\t ")));
    if (!path.starts_with('/')) continue;
    if (is_at_or_below(root, path) || is_at_or_below(path, root)) return true;
  }
  return false;
}

}  // namespace repl::watch
