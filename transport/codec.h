// codec.h: engine/model/message.h to and from the payload of a frame (docs/PROTOCOL.md,
// wire.proto).
//
// A payload is a protobuf part and a raw part. The bytes of files (ContentInline, StageData,
// Signature) are the raw part, one after the other in the order of the records, and never pass
// through protobuf.
//
// Decoding is total: whatever a peer sends becomes a Message of legal shape (names, sizes, counts,
// enums, timestamps, canonical xattrs) or Error{protocol}. It allocates at most a small multiple of
// the payload plus a constant: fields are counted before protobuf sees them. What a message *means*
// is for the state machines.
//
// Thread: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/model/message.h"

namespace repl::transport {

struct Payload {
  uint8_t kind = 0;              // wire.proto, Kind
  std::string body;              // protobuf part
  std::vector<std::string> raw;  // raw part, in pieces; empty pieces are left out
  size_t raw_bytes = 0;

  [[nodiscard]] size_t size() const { return body.size() + raw_bytes; }
};

// Takes the bytes of files out of `message` without copying them. Error{limit} if the result would
// not fit a frame or has more records than a message may have: a bug of the caller. Texts for
// people are cut off.
[[nodiscard]] Result<Payload> encode_message(Message message);

// `body` and `raw` are views into the frame.
[[nodiscard]] Result<Message> decode_message(uint8_t kind, std::string_view body,
                                             std::string_view raw);

// The first byte of a frame that carries a message, not one of the channel's own.
inline constexpr uint8_t first_message_kind = 16;

}  // namespace repl::transport
