#include "transport/pieces.h"

#include <utility>

namespace repl::transport {

namespace {

Status append(Message message, std::vector<Payload>& out) {
  auto payload = encode_message(std::move(message));
  if (!payload) return fail(std::move(payload.error()));
  out.push_back(std::move(*payload));
  return {};
}

}  // namespace

Result<std::vector<Payload>> encode_pieces(Message message, size_t piece_bytes_max) {
  std::vector<Payload> out;
  const auto* data = std::get_if<StageData>(&message);
  if (data == nullptr || data->bytes.size() <= piece_bytes_max) {
    if (auto status = append(std::move(message), out); !status)
      return fail(std::move(status.error()));
    return out;
  }
  for (size_t at = 0; at < data->bytes.size(); at += piece_bytes_max) {
    StageData piece{.stage = data->stage,
                    .offset = data->offset + at,
                    .bytes = data->bytes.substr(at, piece_bytes_max)};
    if (auto status = append(std::move(piece), out); !status)
      return fail(std::move(status.error()));
  }
  return out;
}

}  // namespace repl::transport
