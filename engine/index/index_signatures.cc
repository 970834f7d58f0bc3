// Rolling signatures of contents. Value: u8 version, the hash of the signature (bits), the
// signature. What is of another version or damaged counts as absent: it is asked for, or made
// again.
#include "engine/base/bytes.h"
#include "engine/index/index_impl.h"
#include "engine/model/hash.h"

namespace repl {

namespace {

constexpr uint8_t signature_version = 1;

std::string encode_signature(std::string_view signature) {
  std::string bytes;
  bytes.reserve(signature.size() + 17);
  ByteWriter out(bytes);
  out.u8(signature_version);
  out.bits(hash_bytes(signature));
  bytes.append(signature);
  return bytes;
}

std::optional<std::string> decode_signature(std::string_view bytes) {
  ByteReader in(bytes);
  const bool known = in.u8() == signature_version;
  const Digest hash{in.bits()};
  if (!in.ok() || !known || hash_bytes(in.rest()) != hash) return std::nullopt;
  return std::string(in.rest());
}

}  // namespace

void Index::put_signature(const Digest& content, std::string_view signature) {
  if (signature.empty() || signature.size() > limits::signature_bytes_max) return;
  if (!impl_->content_has_key(content)) return;
  impl_->store->put(Table::signatures, digest_bytes(content), encode_signature(signature));
}

std::optional<std::string> Index::signature(const Digest& content) const {
  if (const auto bytes = impl_->store->get(Table::signatures, digest_bytes(content))) {
    return decode_signature(*bytes);
  }
  const KeylessContent* kept = impl_->keyless.find(content);
  return kept != nullptr ? decode_signature(kept->signature) : std::nullopt;
}

}  // namespace repl
