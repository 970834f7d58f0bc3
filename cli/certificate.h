// certificate.h: what a catch-up ended with, for people and as an exit status:
//   {"verified":bool,"position":{"epoch","reign","cut"},"peer_position":{...},"fingerprint",
//    "peer_fingerprint","entries","bytes_read","written_reread","kept":n,"kept_in":PATH,"held":n,
//    "seconds":x,"at":UNIX,"detail":TEXT}
//
// Thread: stateless.
#pragma once

#include <string>

#include "cli/json.h"

namespace repl::cli {

// exit_ok only if the trees were proved equal and nothing is held.
[[nodiscard]] int verdict_of(const Json& certificate);
// Lines that end in a newline.
[[nodiscard]] std::string render_certificate(const std::string& tree, const std::string& from,
                                             const Json& certificate);

}  // namespace repl::cli
