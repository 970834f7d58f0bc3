// peer_sender.h: one peer that the primary sends to: the Sender, and the link behind it.
//
// Thread: the engine's.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/run/facts.h"
#include "engine/run/session.h"
#include "engine/run/tree_parts.h"
#include "engine/run/waiters.h"
#include "engine/send/content_source.h"
#include "engine/send/sender.h"

namespace repl::run {

class PeerSender {
 public:
  PeerSender(TreeParts& parts, const Session& session, send::SenderCallbacks callbacks,
             std::function<void(Attributes&)> name_owners);

  void start(const send::Plan& plan) { sender_.start(plan); }
  void on_cut(std::shared_ptr<const CutBatch> batch) { sender_.on_cut(std::move(batch)); }
  [[nodiscard]] Status on_message(const Message& message);
  [[nodiscard]] bool pump(MonotonicTime now);
  // When what did not hold still is read again.
  [[nodiscard]] std::optional<MonotonicTime> deadline() const { return read_again_at_; }
  void say(Message message);

  [[nodiscard]] bool prove() { return sender_.prove(); }
  void not_provable() { sender_.not_provable(); }
  void on_notice(const PeerNotice& notice) { notice_ = notice; }
  void describe(PeerFacts& facts) const;
  void tell_events(TreeEvents& events) const;
  [[nodiscard]] PeerStanding standing() const;
  [[nodiscard]] send::SenderStatus status() const { return sender_.status(); }
  [[nodiscard]] bool busy() const { return sender_.busy(); }
  [[nodiscard]] const std::string& node() const { return node_; }

 private:
  class LinkOutbox final : public send::Outbox {
   public:
    explicit LinkOutbox(std::shared_ptr<Link> link) : link_(std::move(link)) {}
    bool send(Message& message, Lane lane) override;
    [[nodiscard]] size_t writable(Lane lane) const override { return link_->writable(lane); }
    [[nodiscard]] bool drained(Lane lane) const override { return link_->drained(lane); }

   private:
    std::shared_ptr<Link> link_;
  };
  [[nodiscard]] std::string hold_of(const send::SenderStatus& status) const;
  std::string node_;
  LinkOutbox outbox_;
  send::FsContentSource source_;
  send::Sender sender_;
  PeerNotice notice_;
  std::optional<MonotonicTime> read_again_at_;
};

}  // namespace repl::run
