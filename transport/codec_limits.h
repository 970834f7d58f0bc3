// codec_limits.h: what both directions of the codec hold each other to; part of the protocol.
#pragma once

#include <cstddef>

#include "engine/base/limits.h"

namespace repl::transport {

inline constexpr size_t frame_header_bytes = 12;
inline constexpr size_t payload_bytes_max = limits::frame_bytes_max - frame_header_bytes;
// Of any list in a message. Hello has two lists, KeysAnswer and VerifyReply too.
inline constexpr size_t records_max = limits::records_per_message_max;
inline constexpr size_t reason_bytes_max = 4096;  // texts for people
inline constexpr size_t label_bytes_max = 255;    // names of nodes and trees, owners, groups
inline constexpr size_t xattr_value_bytes_max = 64 * 1024;  // XATTR_SIZE_MAX

}  // namespace repl::transport
