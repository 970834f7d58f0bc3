#include "transport/crypto.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <array>

namespace repl::transport {

namespace {

// OpenSSL would ask on the terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

BioPtr memory(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

}  // namespace

PkeyPtr read_key(std::string_view pem) {
  const BioPtr bio = memory(pem);
  return PkeyPtr(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
}

X509Ptr read_certificate(std::string_view pem) {
  const BioPtr bio = memory(pem);
  return X509Ptr(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
}

std::string fingerprint_of(const X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return {};
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(der, static_cast<size_t>(size), digest.data());
  OPENSSL_free(der);
  static constexpr char digits[] = "0123456789abcdef";
  std::string text = "sha256:";
  for (const unsigned char byte : digest) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

Error crypto_error(std::string_view what) {
  std::string message(what);
  if (const unsigned long code = ERR_get_error(); code != 0) {
    const char* reason = ERR_reason_error_string(code);
    message += ": ";
    message += reason == nullptr ? "unknown reason" : reason;
  }
  ERR_clear_error();
  return make_error(ErrorCode::invalid, std::move(message));
}

}  // namespace repl::transport
