// sender_answers.cc: what the peer says to a Sender, and what is proved by it.
#include <algorithm>
#include <utility>

#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/send/sender.h"

namespace repl::send {

Status Sender::on_message(const Message& message) {
  if (phase_ == SendPhase::idle) return {};
  if (const auto* answer = std::get_if<KeysAnswer>(&message)) return on_answer(*answer);
  if (const auto* listing = std::get_if<DirectoryListing>(&message)) {
    if (comparer_) return comparer_->on_listing(*listing);
    return fail(ErrorCode::protocol, "the peer sent a listing that was not asked for",
                Remedy::reconnect);
  }
  if (const auto* signature = std::get_if<Signature>(&message)) {
    return writer_.on_signature(*signature);
  }
  if (const auto* ack = std::get_if<Ack>(&message)) on_ack(*ack);
  if (const auto* refused = std::get_if<Refused>(&message)) on_refused(*refused);
  if (const auto* notice = std::get_if<PeerNotice>(&message)) status_.held_keys = notice->held_keys;
  return {};
}

void Sender::on_ack(const Ack& ack) {
  const auto level = static_cast<size_t>(ack.level);
  if (ack.reign != plan_.reign || level >= status_.acked.size()) return;
  status_.acked[level] = std::max(status_.acked[level], ack.cut);
  ends_acked_[level] = std::max(ends_acked_[level], ack.ends);
  if (ack.level != AckLevel::applied) return;
  status_.held_keys = ack.held_keys;
  applied_ = ack.content_known ? std::optional(Equality{ack.content, ack.identity}) : std::nullopt;
  // Of a peer that lacks something only a comparison knows whether that is all: not at every cut.
  if (exact_ && resend_.empty() && !without_held_) judge_equality();
}

bool Sender::caught_up() const {
  return phase_ == SendPhase::live && queue_.empty() && !diverted_ && sent_ == tree_cut_ &&
         !writer_.loose();
}

bool Sender::prove() {
  if (unproved_ && !owes_sending()) judge_equality();
  return compare_wanted_;
}

// With every cut applied there, the index is what the peer must have. With held keys the trees
// differ, and a person knows; without every content there is nothing to compare.
void Sender::judge_equality() {
  const std::optional<DirSummary> root = index_.summary(root_dir);
  const uint64_t withheld = callbacks_.withheld_unknown ? callbacks_.withheld_unknown() : 0;
  const bool comparable = caught_up() && applied_ && status_.held_keys == 0 && root &&
                          root->unknown <= withheld &&
                          ends_acked_[static_cast<size_t>(AckLevel::applied)] == ends_sent_;
  if (!comparable) return;
  unproved_ = false;
  differs_ = false;
  if (*applied_ == Equality{index_.root_content(), index_.root_identity()}) {
    given_up_.clear();
    without_held_.reset();
    return refusals_.clear();
  }
  if (compared_for_ != sent_) compares_ = 0;
  if (compares_ > 0 && only_withheld_ > 0) {
    without_held_ = applied_;
    return;
  }
  ++status_.mismatches;
  compared_for_ = sent_;
  differs_ = ++compares_ > limits::compares_max;
  if (differs_ || !without_held_) {
    log_.warn("send: the peer's tree differs after cut {}; {}", sent_.value,
              differs_ ? "comparing does not help" : "the trees are compared");
  }
  if (differs_) return;
  compare_wanted_ = true;
}

void Sender::on_refused(const Refused& refused) {
  if (refused.hold) return;  // the receiver counts them
  ++status_.refused;
  if (resend_.size() >= limits::dirty_keys_max || refusals_.size() >= limits::dirty_keys_max) {
    compare_wanted_ = true;
    return;
  }
  // Cuts that were on their way hold the key too: it is sent again once for all of them.
  Refusals& refusals = refusals_[refused.key];
  if (resend_.contains(refused.key) || refused.cut < refusals.sent_again) return;
  if (++refusals.times > limits::refusals_max) {
    log_.warn("send: the peer refuses {} again: {}", escape(refused.key.name),
              escape(refused.reason));
    given_up_.insert(refused.key);
    return;
  }
  resend_.insert(refused.key);
}

}  // namespace repl::send
