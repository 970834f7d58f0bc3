// tcp.h: what a TCP socket is told so that a long link is filled and a short one stays prompt.
//
// Thread: any. Failures are ignored: the connection works without, only worse.
#pragma once

#include <cstddef>

namespace repl::transport {

// Before connect(2) or listen(2), because the window scale is agreed with the first packet: buffers
// for limits::socket_buffer_bytes in flight. Needs CAP_NET_ADMIN (socket(7), SO_RCVBUFFORCE).
// Without it the kernel's own tuning is left in charge: SO_RCVBUF would switch it off, and may not
// ask for more than net.core.rmem_max, which is less than what the tuning reaches.
void prepare_tcp(int socket);
// Once connected.
void tune_tcp(int socket);
// At most about this much waits in the kernel unsent: it cannot be overtaken any more. What is in
// flight is not limited by it.
void limit_unsent_tcp(int socket, size_t bytes);

}  // namespace repl::transport
