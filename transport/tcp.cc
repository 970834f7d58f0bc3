#include "transport/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "engine/base/limits.h"

namespace repl::transport {

namespace {
void set(int socket, int level, int option, int value) {
  ::setsockopt(socket, level, option, &value, sizeof value);
}
}  // namespace

void prepare_tcp(int socket) {
  set(socket, SOL_SOCKET, SO_RCVBUFFORCE, static_cast<int>(limits::socket_buffer_bytes));
  set(socket, SOL_SOCKET, SO_SNDBUFFORCE, static_cast<int>(limits::socket_buffer_bytes));
}

void tune_tcp(int socket) {
  set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  limit_unsent_tcp(socket, limits::unsent_bytes_max);
}

void limit_unsent_tcp(int socket, size_t bytes) {
  set(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<int>(bytes));
}

}  // namespace repl::transport
