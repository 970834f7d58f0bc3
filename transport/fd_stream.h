// fd_stream.h: a byte stream over two descriptors. Internal to transport.
//
// Thread: made on any thread, then the I/O thread.
#pragma once

#include <memory>

#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "transport/byte_stream.h"

namespace repl::transport {

class IoCore;

// `in` and `out` may be one socket, given twice as duplicates.
[[nodiscard]] Result<std::unique_ptr<ByteStream>> make_fd_stream(
    const std::shared_ptr<IoCore>& core, Fd in, Fd out);

}  // namespace repl::transport
