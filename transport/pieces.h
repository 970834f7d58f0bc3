// pieces.h: one message as the frames that carry it. Contents of a file leave in pieces, so that
// what overtakes them waits for a piece and not for a whole StageData: `stage, offset` say the same
// of each, and the receiver cannot tell that they were one message.
//
// Thread: pure function.
#pragma once

#include <vector>

#include "transport/codec.h"

namespace repl::transport {

// Errors are encode_message's.
[[nodiscard]] Result<std::vector<Payload>> encode_pieces(Message message, size_t piece_bytes_max);

}  // namespace repl::transport
