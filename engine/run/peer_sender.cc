#include "engine/run/peer_sender.h"

#include <utility>

#include "engine/base/limits.h"
#include "engine/model/hash.h"

namespace repl::run {

namespace {

std::string_view phase_name(send::SendPhase phase, bool in_sync) {
  switch (phase) {
    case send::SendPhase::idle:
      return "waiting";
    case send::SendPhase::asking:
    case send::SendPhase::comparing:
      return "comparing";
    case send::SendPhase::cutting:
      return "catching up";
    case send::SendPhase::live:
      return in_sync ? "in sync" : "live";
  }
  return "waiting";
}

}  // namespace

bool PeerSender::LinkOutbox::send(Message& message, Lane lane) {
  if (!link_->open() || (lane != Lane::prompt && link_->writable(lane) == 0)) return false;
  return link_->send(std::move(message), lane);
}

PeerSender::PeerSender(TreeParts& parts, const Session& session, send::SenderCallbacks callbacks,
                       std::function<void(Attributes&)> name_owners)
    : node_(session.peer),
      outbox_(session.link),
      source_(*parts.dirs, *parts.backend, std::move(name_owners)),
      sender_(*parts.index, fingerprint_seed(parts.options.name), source_, outbox_,
              std::move(callbacks), parts.log) {}

void PeerSender::say(Message message) { static_cast<void>(outbox_.send(message, Lane::prompt)); }

Status PeerSender::on_message(const Message& message) {
  const auto* ack = std::get_if<Ack>(&message);
  if (ack != nullptr && ack->level == AckLevel::durable) notice_.error.clear();
  return sender_.on_message(message);
}

// A file that did not hold still gets a pause: its writer may be nearly done.
bool PeerSender::pump(MonotonicTime now) {
  if (read_again_at_ && now >= *read_again_at_) {
    read_again_at_.reset();
    sender_.read_torn_again();
  }
  const bool more = sender_.pump();
  const int torn = sender_.status().torn_reads;
  if (torn > 0 && !read_again_at_) {
    read_again_at_ = now + std::chrono::milliseconds(limits::torn_pause_ms << (torn - 1));
  }
  return more;
}

void PeerSender::describe(PeerFacts& facts) const {
  const send::SenderStatus status = sender_.status();
  facts.phase = phase_name(status.phase, status.in_sync);
  facts.applied = status.acked[static_cast<size_t>(AckLevel::applied)];
  facts.durable = status.acked[static_cast<size_t>(AckLevel::durable)];
  facts.loose_since = status.loose_since;
  facts.large_files = status.large_files;
  facts.held_back = status.held_back;
  facts.transferring =
      status.phase != send::SendPhase::live && status.phase != send::SendPhase::idle;
  facts.files_done = status.files_done;
  facts.files_total = status.files_total;
  facts.bytes_done = status.bytes_done;
  facts.bytes_total = status.bytes_total;
  facts.held_keys = status.held_keys;
  facts.hot_files = status.hot_files;
  facts.methods = sender_.counters();
  if (!notice_.error.empty()) facts.last_error = notice_.error;
  if (const std::string hold = hold_of(status); !hold.empty()) {
    facts.held = true;
    facts.reason = hold;
  }
}

std::string PeerSender::hold_of(const send::SenderStatus& status) const {
  if (!notice_.hold.empty() || !status.differs) return notice_.hold;
  return "its tree differs although the trees were compared: `repl verify --full` says where";
}

PeerStanding PeerSender::standing() const {
  const send::SenderStatus status = sender_.status();
  PeerStanding standing;
  standing.node = node_;
  standing.connected = true;
  standing.received = status.acked[static_cast<size_t>(AckLevel::received)];
  standing.applied = status.acked[static_cast<size_t>(AckLevel::applied)];
  standing.durable = status.acked[static_cast<size_t>(AckLevel::durable)];
  standing.held_keys = status.held_keys;
  standing.owes = status.owes || status.unproved;
  standing.reason = hold_of(status);
  standing.held = !standing.reason.empty();
  return standing;
}

}  // namespace repl::run
