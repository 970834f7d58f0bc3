// record_packer.h: records of a cut, packed to limits::message_bytes_target a message.
//
// Thread: one owner. Memory: one message.
#pragma once

#include <functional>

#include "engine/model/message.h"

namespace repl::send {

// About what a record takes on the wire.
[[nodiscard]] size_t record_bytes(const Record& record);

class RecordPacker {
 public:
  explicit RecordPacker(std::function<void(Message)> emit) : emit_(std::move(emit)) {}
  void add(Record record);
  void flush();  // what is packed leaves now

 private:
  std::function<void(Message)> emit_;
  Records packed_;
  size_t bytes_ = 0;
};

}  // namespace repl::send
