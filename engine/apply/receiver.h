// receiver.h: the receiving half of a connection, as a state machine over messages.
//
// Answers comparisons, applies cuts, says how far each is. An Error of on_message() ends the
// connection: nothing of an unfinished cut was published. Remedy::retry in it is a fault of this
// node's disk, told to the primary first (PeerNotice), and the same cut is welcome again.
//
// Bounds: one cut at a time; answers in messages of limits::records_per_message_max items. Thread:
// one owner; deterministic, no clock. Source: design §5, §9, attacks.md.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/apply/applier.h"
#include "engine/model/message.h"
#include "engine/model/position.h"

namespace repl::apply {

struct ReceiverActions {
  // To the primary; `bulk` rides in the lane of file contents.
  std::function<void(Message, bool bulk)> send;
  // Into the index, with the cut's entries: the new position of this node.
  std::function<void(const Position&)> store_position;
  // A rolling signature (engine/delta/signature.h) of an open file.
  std::function<Result<std::string>(int fd, uint64_t size)> rolling_signature;
};

class Receiver {
 public:
  Receiver(Applier& applier, Index& index, Log& log, ReceiverActions actions);

  // The handshake has chosen this primary; `durable` is this node's position.
  void start(Epoch epoch, Reign reign, const Position& durable);
  void stop();

  [[nodiscard]] Status on_message(const Message& message);

  [[nodiscard]] std::optional<SyncWork> take_sync_work() { return applier_.take_sync_work(); }
  // Acks the cut as durable.
  void on_synced(SyncWork work, const Status& status);

  // A person approved a held key: asks the primary for it again.
  bool approve(const Key& key);
  [[nodiscard]] Status recheck_holds();
  [[nodiscard]] const Position& applied() const { return applied_; }

 private:
  Status dispatch(const Message& message);
  Status on(const ListDirectories& list);
  Status on(const AskKeys& ask);
  Status on(const AdoptIds& adopt);
  Status on(const CutBegin& begin);
  Status on(const Records& records);
  Status on(const CutEnd& end);
  Status on(const SignatureRequest& request);
  Status on(const StageBegin& begin) { return applier_.contents().begin(begin); }
  Status on(const StageData& data) { return applier_.contents().data(data); }
  Status on(const StageHole& hole) { return applier_.contents().hole(hole); }
  Status on(const StageCopy& copy) { return applier_.contents().copy(copy); }
  Status on(const StageEnd& end) { return applier_.contents().end(end); }
  Status on(const StageAbort& abort) { return applier_.contents().abort(abort); }
  Result<std::string> signature_bytes(const SignatureRequest& request);
  void refuse(Refused refused);
  void send_ack(const Reign& reign, CutNumber cut, AckLevel level, uint64_t ends);

  Applier& applier_;
  Index& index_;
  Log& log_;
  ReceiverActions actions_;
  bool started_ = false;
  uint64_t refusals_ = 0;     // of this connection, that were to be sent again
  uint64_t ends_before_ = 0;  // Applier::ends() when the connection began
  Epoch epoch_;
  Reign reign_;
  Position applied_;
  Position durable_;
};

}  // namespace repl::apply
