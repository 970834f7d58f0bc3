#include "transport/banner.h"

#include <algorithm>

#include "engine/base/escape.h"

namespace repl::transport {

namespace {
constexpr std::string_view prefix = "repl/";
}

std::string make_banner() { return "repl/" + std::to_string(wire_version) + " file replication\n"; }

Result<bool> BannerReader::feed(std::string_view& bytes) {
  const size_t end = bytes.find('\n');
  const size_t more =
      std::min(end == bytes.npos ? bytes.size() : end, banner_bytes_max - line_.size());
  line_.append(bytes.substr(0, more));
  bytes.remove_prefix(more);
  // Wrong from the first byte on: what is not repl need not send a whole line to be recognised.
  const size_t comparable = std::min(line_.size(), prefix.size());
  const bool ours = std::string_view(line_).substr(0, comparable) == prefix.substr(0, comparable);
  const bool whole = !bytes.empty() && bytes.front() == '\n';
  if (!ours || (!whole && line_.size() == banner_bytes_max) ||
      (whole && line_.size() < prefix.size())) {
    return fail(ErrorCode::protocol,
                "does not speak repl: it began with \"" + escape(line_.substr(0, 80)) +
                    "\"; over ssh, check that the login shell prints nothing",
                Remedy::reconnect);
  }
  if (!whole) return false;
  bytes.remove_prefix(1);
  const size_t space = std::min(line_.find(' '), line_.size());
  const std::string version = line_.substr(prefix.size(), space - prefix.size());
  if (version != std::to_string(wire_version)) {
    return fail(ErrorCode::unsupported,
                "speaks protocol version \"" + escape(version.substr(0, 20)) +
                    "\", this node speaks " + std::to_string(wire_version) +
                    ": upgrade the older of the two",
                Remedy::reconnect);
  }
  return true;
}

}  // namespace repl::transport
