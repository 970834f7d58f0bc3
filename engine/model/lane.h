// lane.h: which of the three queues of a connection a message waits in.
//
// prompt: control, answers, acknowledgements: overtakes all, needs no credit. bulk: cuts, in order.
// background: contents of large files that are staged across cuts; overtaken by both. Bulk and
// background have credit of their own, so that neither waits for what the peer has not taken of the
// other. Messages of a lane stay in order among themselves, and what was handed to the connection
// (`drained`) precedes what is sent on bulk or background afterwards; a prompt message may overtake
// it still, where it waits for the peer's owner.
#pragma once

#include <cstdint>

namespace repl {

enum class Lane : uint8_t { prompt = 0, bulk = 1, background = 2 };  // numbers of the wire

}  // namespace repl
