// child_stream.h: a byte stream to a child process: its stdin and stdout; its last words on stderr
// explain the end. Internal to transport.
//
// Thread: made on any thread, then the I/O thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "transport/byte_stream.h"

namespace repl::transport {

class IoCore;

// The program is looked up in PATH. The child gets default signals, its own process group and no
// other descriptor of ours. It is reaped in every case: by the stream's watcher, or at the I/O
// thread's end.
[[nodiscard]] Result<std::unique_ptr<ByteStream>> make_child_stream(
    const std::shared_ptr<IoCore>& core, const std::vector<std::string>& arguments);

}  // namespace repl::transport
