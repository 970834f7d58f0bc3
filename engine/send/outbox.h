// outbox.h: where a sender's messages go. The run layer puts a transport channel behind it.
//
// Thread: the sender's.
#pragma once

#include <cstddef>

#include "engine/model/message.h"

namespace repl::send {

class Outbox {
 public:
  virtual ~Outbox() = default;
  // False: not taken (full or closed), `message` is unchanged; a message that is not bulk is always
  // taken while the connection is open. Messages of one lane stay in order; the others overtake
  // bulk.
  virtual bool send(Message& message, bool bulk) = 0;
  // Bytes of bulk that would be taken now.
  [[nodiscard]] virtual size_t writable() const = 0;
};

}  // namespace repl::send
