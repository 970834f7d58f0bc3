#include <fmt/core.h>

#include <filesystem>

#include "cli/commands.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "transport/identity.h"

namespace repl::cli {
namespace {

// The name in the certificate is for people; what counts is the fingerprint. So a host whose
// configuration is not there yet can have its key.
std::string node_name(const GlobalOptions& global) {
  if (!global.node.empty()) return global.node;
  const std::string host = host_name();
  return host.substr(0, host.find('.'));
}

}  // namespace

int command_keygen(const KeygenOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.global.state_dir, error);
  if (error) {
    return report("create " + options.global.state_dir + ": " + error.message(), exit_failed);
  }
  const auto identity = transport::generate_identity(node_name(options.global));
  if (!identity) return report(identity.error().message, exit_failed);
  const Status stored = transport::store_identity(*identity, key_file(options.global),
                                                  certificate_file(options.global));
  if (!stored) return report(stored.error().message, exit_failed);
  fmt::print("{}\n", identity->fingerprint);
  return exit_ok;
}

}  // namespace repl::cli
