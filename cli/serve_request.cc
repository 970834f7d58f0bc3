#include "cli/serve_request.h"

#include <fmt/format.h>

#include "engine/base/bytes.h"
#include "engine/base/limits.h"

namespace repl::cli {
namespace {

// Changes with the layout; a far side of another version says so instead of guessing.
constexpr uint8_t layout_version = 1;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

Result<std::string> encode_serve_request(const ServeRequest& request) {
  std::string bytes;
  ByteWriter out(bytes);
  out.u8(layout_version);
  out.string(request.tree);
  out.string(request.root);
  out.u8(request.delete_extra ? 1 : 0);
  out.u8(request.create_root ? 1 : 0);
  out.u8(request.ids_by_name ? 1 : 0);
  out.varint(request.rules.size());
  for (const FilterRule& rule : request.rules) {
    out.u8(rule.include ? 1 : 0);
    out.string(rule.pattern);
  }
  out.varint(request.only.size());
  for (const std::string& pattern : request.only) out.string(pattern);
  if (bytes.size() > limits::serve_request_bytes_max) {
    return fail(ErrorCode::limit,
                "the filter rules are too long for a command line to the other "
                "side; say the same with fewer patterns");
  }
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

Result<ServeRequest> decode_serve_request(std::string_view hex) {
  const auto bad = [] {
    return fail(ErrorCode::invalid,
                "--session: not what this version of repl writes; run the same "
                "version on both sides");
  };
  if (hex.size() % 2 != 0 || hex.size() / 2 > limits::serve_request_bytes_max) return bad();
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]), low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return bad();
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  ByteReader in(bytes);
  if (in.u8() != layout_version) return bad();
  ServeRequest request;
  request.tree = in.string();
  request.root = in.string();
  request.delete_extra = in.u8() != 0;
  request.create_root = in.u8() != 0;
  request.ids_by_name = in.u8() != 0;
  // Every item takes a byte at least, so the counts are bounded by what is left.
  for (uint64_t n = in.varint(); in.ok() && n > 0; --n) {
    FilterRule rule;
    rule.include = in.u8() != 0;
    rule.pattern = in.string();
    request.rules.push_back(std::move(rule));
  }
  for (uint64_t n = in.varint(); in.ok() && n > 0; --n) request.only.emplace_back(in.string());
  if (!in.done()) return bad();
  if (request.tree.empty() == request.root.empty()) return bad();
  return request;
}

}  // namespace repl::cli
