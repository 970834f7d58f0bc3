// crypto.h: OpenSSL's objects with owners, and what identity and TLS share. Internal to transport.
//
// Thread: pure functions; OpenSSL's error queue is the calling thread's and is emptied by
// crypto_error.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace repl::transport {

struct CryptoFree {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using BioPtr = std::unique_ptr<BIO, CryptoFree>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, CryptoFree>;
using X509Ptr = std::unique_ptr<X509, CryptoFree>;

// Null if the text is none. Never asks for a passphrase.
[[nodiscard]] PkeyPtr read_key(std::string_view pem);
[[nodiscard]] X509Ptr read_certificate(std::string_view pem);
// "sha256:..." over the public key; empty only if memory is out.
[[nodiscard]] std::string fingerprint_of(const X509* certificate);
// Error{invalid} with OpenSSL's reason.
[[nodiscard]] Error crypto_error(std::string_view what);

}  // namespace repl::transport
