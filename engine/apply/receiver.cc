#include "engine/apply/receiver.h"

#include <fmt/core.h>

#include <algorithm>
#include <type_traits>

#include "engine/apply/broken.h"
#include "engine/base/limits.h"

namespace repl::apply {

namespace {

template <typename M>
constexpr bool is_from_primary =
    std::is_same_v<M, ListDirectories> || std::is_same_v<M, AskKeys> ||
    std::is_same_v<M, AdoptIds> || std::is_same_v<M, CutBegin> || std::is_same_v<M, Records> ||
    std::is_same_v<M, CutEnd> || std::is_same_v<M, SignatureRequest> ||
    std::is_same_v<M, StageBegin> || std::is_same_v<M, StageData> || std::is_same_v<M, StageHole> ||
    std::is_same_v<M, StageCopy> || std::is_same_v<M, StageEnd> || std::is_same_v<M, StageAbort>;

}  // namespace

Receiver::Receiver(Applier& applier, Index& index, Log& log, ReceiverActions actions)
    : applier_(applier), index_(index), log_(log), actions_(std::move(actions)) {}

void Receiver::start(Epoch epoch, Reign reign, const Position& durable) {
  started_ = true;
  epoch_ = epoch;
  reign_ = reign;
  durable_ = durable;
  applied_ = durable;
  ends_before_ = applier_.ends();
  refusals_ = 0;
}

void Receiver::stop() {
  applier_.end_session();
  started_ = false;
}

Status Receiver::on_message(const Message& message) {
  if (!started_) return broken("a message before the handshake ended");
  const Status done = dispatch(message);
  if (done) return done;
  if (done.error().remedy == Remedy::retry) {
    actions_.send(PeerNotice{.held_keys = applier_.holds().size(), .error = done.error().message},
                  false);
  }
  stop();
  return done;
}

Status Receiver::dispatch(const Message& message) {
  return std::visit(
      [this]<typename M>(const M& known) -> Status {
        if constexpr (is_from_primary<M>) {
          return on(known);
        } else {
          return broken("a message that a primary does not send here");
        }
      },
      message);
}

Status Receiver::on(const CutBegin& begin) {
  if (begin.epoch < epoch_) return broken("a cut of an epoch that is over");
  if (begin.epoch != epoch_ || begin.reign != reign_) return broken("a cut of another reign");
  if (!begin.cut.is_set()) return broken("a cut without a number");
  // The durable cut itself comes again when keys are sent again or the trees were compared at it.
  if (begin.reign == durable_.reign && begin.cut < durable_.cut)
    return broken("a cut before the one that is durable");
  return applier_.begin(begin);
}

Status Receiver::on(const Records& records) {
  if (!applier_.in_cut()) return broken("records outside a cut");
  if (records.records.size() > limits::records_per_message_max)
    return broken("too many records at once");
  for (const Record& record : records.records) {
    const auto* put = std::get_if<Put>(&record);
    const Status done =
        put != nullptr ? applier_.put(*put) : applier_.remove(std::get<Remove>(record));
    if (!done) return done;
  }
  return {};
}

Status Receiver::on(const CutEnd& end) {
  if (!applier_.in_cut()) return broken("the end of a cut that did not begin");
  if (const Status whole = applier_.check_end(end); !whole) return whole;
  if (end.last) send_ack(reign_, end.cut, AckLevel::received, applier_.ends());
  const bool settled = end.settled == refusals_;
  Result<PublishResult> result = applier_.publish(end, settled, [this](const Position& position) {
    applied_ = position;
    actions_.store_position(position);
  });
  if (!result) return fail(result.error());
  for (Refused& refused : result->refused) refuse(std::move(refused));
  for (const std::string& notice : result->notices) log_.warn("apply: {}", notice);
  if (end.last) send_ack(reign_, end.cut, AckLevel::applied, applier_.ends());
  return {};
}

void Receiver::refuse(Refused refused) {
  if (!refused.hold) ++refusals_;
  actions_.send(std::move(refused), false);
}

void Receiver::send_ack(const Reign& reign, CutNumber cut, AckLevel level, uint64_t ends) {
  Ack ack{.reign = reign, .cut = cut, .level = level, .held_keys = applier_.holds().size()};
  ack.ends = std::max(ends, ends_before_) - ends_before_;
  if (level != AckLevel::received) {
    const std::optional<DirSummary> root = index_.summary(root_dir);
    ack.content = index_.root_content();
    ack.identity = index_.root_identity();
    ack.content_known = root && root->unknown == 0;
  }
  actions_.send(std::move(ack), false);
}

void Receiver::on_synced(SyncWork work, const Status& status) {
  const Position position = work.position;
  const uint64_t ends = work.ends;
  applier_.on_synced(std::move(work), status);
  if (!status) {
    if (started_)
      actions_.send(
          PeerNotice{.held_keys = applier_.holds().size(), .error = status.error().message}, false);
    return;
  }
  if (!position.cut.is_set()) return;
  durable_ = position;
  if (started_ && position.reign == reign_)
    send_ack(position.reign, position.cut, AckLevel::durable, ends);
}

bool Receiver::approve(const Key& key) {
  if (!applier_.holds().approve(key)) return false;
  if (started_) {
    refuse(Refused{.cut = applied_.cut, .key = key, .hold = false, .reason = "approved"});
  }
  return true;
}

Status Receiver::recheck_holds() {
  Result<std::vector<Refused>> again = applier_.recheck_holds();
  if (!again) return fail(again.error());
  for (Refused& refused : *again) {
    refused.cut = applied_.cut;
    if (started_) refuse(std::move(refused));
  }
  return {};
}

}  // namespace repl::apply
