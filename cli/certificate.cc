#include "cli/certificate.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

#include "cli/exit_codes.h"
#include "cli/status_view.h"

namespace repl::cli {
namespace {

std::string position_text(const Json& position) {
  return fmt::format("epoch {}, cut {}", get_number<uint64_t>(position, "epoch"),
                     get_number<uint64_t>(position, "cut"));
}

std::string time_text(int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  std::array<char, 64> text{};
  if (::gmtime_r(&time, &parts) == nullptr) return "an unknown time";
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

// One value where both sides have the same.
std::string both(const std::string& here, const std::string& there) {
  return here == there ? here + ", both sides" : fmt::format("{} here, {} there", here, there);
}

}  // namespace

int verdict_of(const Json& certificate) {
  if (get_number<uint64_t>(certificate, "held") > 0) return exit_held;
  return get_bool(certificate, "verified") ? exit_ok : exit_failed;
}

std::string render_certificate(const std::string& tree, const std::string& from, const Json& c) {
  const std::string detail = get_text(c, "detail");
  const auto held = get_number<uint64_t>(c, "held");
  std::string out = get_bool(c, "verified")
                        ? fmt::format("{}: verified, equal to {}{}\n", tree, from,
                                      held > 0 ? " except what is held" : "")
                        : fmt::format("{}: NOT verified against {}\n", tree, from);
  if (!detail.empty()) out += fmt::format("  {}\n", detail);
  out += fmt::format("  position     {}\n", both(position_text(get_member(c, "position")),
                                                 position_text(get_member(c, "peer_position"))));
  out += fmt::format("  fingerprint  {}\n",
                     both(get_text(c, "fingerprint"), get_text(c, "peer_fingerprint")));
  out += fmt::format("  read         {}, {}; of what was written {} again\n",
                     counted(get_number<uint64_t>(c, "entries"), "entry", "entries"),
                     human_bytes(get_number<uint64_t>(c, "bytes_read")),
                     get_number<uint64_t>(c, "written_reread"));
  if (held > 0) {
    out += fmt::format("  held         {}; `repl status {}` lists them\n",
                       counted(held, "path", "paths"), tree);
  }
  if (const auto kept = get_number<uint64_t>(c, "kept")) {
    out +=
        fmt::format("  kept         {} that only this node had, in {}: `repl diverged list {}`\n",
                    counted(kept, "version", "versions"), get_text(c, "kept_in"), tree);
  }
  return out + fmt::format("  at           {}, after {}\n", time_text(get_number<int64_t>(c, "at")),
                           human_seconds(get_real(c, "seconds")));
}

}  // namespace repl::cli
