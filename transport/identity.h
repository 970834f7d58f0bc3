// identity.h: who a node is: an Ed25519 key with a self-signed certificate, known to its peers by
// the fingerprint of its public key.
//
// A fingerprint is "sha256:" and 64 lower-case hex digits over the DER SubjectPublicKeyInfo (RFC
// 7469's pin, in hex), so that a certificate may be renewed without telling the peers.
//
// Thread: values.
#pragma once

#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace repl::transport {

struct Identity {
  std::string key_pem;
  std::string certificate_pem;
  std::string fingerprint;
};

[[nodiscard]] Result<Identity> generate_identity(std::string_view node);

// Writes both files; the key with mode 0600. Never replaces a file: Error{invalid} if one is there.
[[nodiscard]] Status store_identity(const Identity& identity, const std::string& key_path,
                                    const std::string& certificate_path);

// Error{untrusted} if the key is a symlink, is not a file of ours or root's, or others may read it;
// Error{invalid} if key and certificate are no pair.
[[nodiscard]] Result<Identity> load_identity(const std::string& key_path,
                                             const std::string& certificate_path);

// Whether a text from the config is a fingerprint.
[[nodiscard]] bool is_fingerprint(std::string_view text);

}  // namespace repl::transport
