// bottleneck.h: what keeps a connection from going faster, for status and for those who adapt.
#pragma once

#include <cstdint>

namespace repl {

enum class Bottleneck : uint8_t {
  none,       // nothing of the connection's: it is idle, or waits for its owner or its peer
  link,       // the carrier, or the bandwidth limit, takes less than could be packed
  processor,  // packing, encrypting, or the rest of the I/O thread's work
};

}  // namespace repl
