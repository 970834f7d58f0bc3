#include "engine/io/mount_table.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

#include "engine/base/fd.h"

namespace repl::io {

namespace {

std::string_view take_word(std::string_view& line) {
  const size_t end = line.find(' ');
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return word;
}

// Blank, tab, newline and backslash are written as three octal digits.
std::string plain(std::string_view word) {
  std::string out;
  for (size_t i = 0; i < word.size(); ++i) {
    int value = 0;
    const char* digits = word.data() + i + 1;
    if (word[i] == '\\' && i + 3 < word.size() &&
        std::from_chars(digits, digits + 3, value, 8).ptr == digits + 3) {
      out += static_cast<char>(value);
      i += 3;
    } else {
      out += word[i];
    }
  }
  return out;
}

std::optional<Mount> parse_line(std::string_view line) {
  Mount mount;
  const std::string_view id = take_word(line);
  const auto [stop, error] = std::from_chars(id.data(), id.data() + id.size(), mount.id);
  if (error != std::errc{} || stop != id.data() + id.size()) return std::nullopt;
  take_word(line);  // the parent: it changes when the mount is moved
  mount.device = take_word(line);
  mount.root = plain(take_word(line));
  mount.point = plain(take_word(line));
  const std::string_view options = take_word(line);
  mount.read_only = options == "ro" || options.starts_with("ro,");
  return mount;
}

}  // namespace

MountTable parse_mounts(std::string_view mountinfo) {
  MountTable table;
  while (!mountinfo.empty()) {
    const size_t end = mountinfo.find('\n');
    if (std::optional<Mount> mount = parse_line(mountinfo.substr(0, end)))
      table.push_back(std::move(*mount));
    mountinfo.remove_prefix(end == std::string_view::npos ? mountinfo.size() : end + 1);
  }
  return table;
}

Result<MountTable> read_mounts(const std::string& proc_dir) {
  const std::string path = proc_dir + "/mountinfo";
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno("open " + path);
  std::string text;
  std::array<char, 16384> chunk;
  for (;;) {
    const ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
    if (n == 0) return parse_mounts(text);
    if (n > 0) {
      text.append(chunk.data(), static_cast<size_t>(n));
    } else if (errno != EINTR) {
      return fail_errno("read " + path);
    }
  }
}

const Mount* find_mount(const MountTable& table, uint64_t id) {
  const auto at = std::ranges::find(table, id, &Mount::id);
  return at == table.end() ? nullptr : &*at;
}

bool path_below(std::string_view path, std::string_view above, std::string_view& rest) {
  if (above == "/") above = {};
  if (!path.starts_with(above)) return false;
  rest = path.substr(above.size());
  if (rest == "/") rest = {};
  return rest.empty() || rest.front() == '/';
}

}  // namespace repl::io
