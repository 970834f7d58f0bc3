#include "engine/model/sha256.h"

#include <openssl/evp.h>

#include "engine/base/check.h"

namespace repl {

namespace {

constexpr size_t digest_bytes = 32;

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  REPL_CHECK(context_ != nullptr);
  begin();
}

void Sha256::begin() { REPL_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1); }

void Sha256::update(std::string_view bytes) {
  REPL_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
  std::string digest(digest_bytes, '\0');
  unsigned int size = 0;
  REPL_CHECK(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()),
                                &size) == 1);
  REPL_CHECK(size == digest_bytes);
  begin();
  return digest;
}

}  // namespace repl
