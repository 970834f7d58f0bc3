// outbox.h: where a sender's messages go. The run layer puts a transport channel behind it.
//
// Thread: the sender's.
#pragma once

#include <cstddef>

#include "engine/model/lane.h"
#include "engine/model/message.h"

namespace repl::send {

class Outbox {
 public:
  virtual ~Outbox() = default;
  // False: not taken (full or closed), `message` is unchanged; a prompt message is always taken
  // while the connection is open. What order holds is in engine/model/lane.h.
  virtual bool send(Message& message, Lane lane) = 0;
  // Bytes of bulk or background that would be taken now. The owner pumps again when there is room.
  [[nodiscard]] virtual size_t writable(Lane lane) const = 0;
  // All that was sent on the lane has left for the connection: what is sent afterwards on bulk or
  // background cannot overtake it. The owner pumps again when that becomes true.
  [[nodiscard]] virtual bool drained(Lane lane) const = 0;
};

}  // namespace repl::send
