// sha256.h: SHA-256 (FIPS 180-4), by libcrypto.
//
// Thread: one owner. An error of libcrypto (out of memory) is a failed invariant: a wrong digest is
// never returned.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace repl {

class Sha256 {
 public:
  Sha256();
  void update(std::string_view bytes);
  // Of everything since the last finish(), as 32 bytes; begins anew.
  [[nodiscard]] std::string finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  void begin();
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace repl
