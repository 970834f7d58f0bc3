#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/daemon_request.h"
#include "cli/exit_codes.h"
#include "transport/identity.h"

namespace repl::cli {

int command_fingerprint(const FingerprintOptions& options) {
  const auto identity =
      transport::load_identity(key_file(options.global), certificate_file(options.global));
  if (!identity) {
    return report(
        identity.error().message +
            (identity.error().code == ErrorCode::not_found ? "; `repl keygen` makes one" : ""),
        exit_failed);
  }
  fmt::print("{}\n", identity->fingerprint);
  return exit_ok;
}

}  // namespace repl::cli
