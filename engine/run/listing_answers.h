// listing_answers.h: what this node's index says to a peer that asks only to know (`diff`), whether
// or not anything was agreed with it.
//
// Bounds: limits::diff_answers_waiting_max messages wait for a link that does not take them; who
// asks for more breaks the protocol. Thread: the engine's.
#pragma once

#include <deque>
#include <map>

#include "engine/index/index.h"
#include "engine/run/session.h"

namespace repl::run {

class ListingAnswers {
 public:
  explicit ListingAnswers(const Index& index) : index_(index) {}

  // Nothing if the message asks for no such thing.
  [[nodiscard]] std::optional<Status> on_message(const Session& session, const Message& message);
  // Sends what waits, as far as the links take it.
  void pump();
  void on_closed(const Session& session) { waiting_.erase(&session); }

 private:
  struct Waiting {
    std::shared_ptr<Link> link;
    std::deque<Message> messages;
  };
  [[nodiscard]] Status answer(const Session& session, std::deque<Message> messages);
  static void send(Waiting& waiting);
  const Index& index_;
  std::map<const Session*, Waiting> waiting_;
};

}  // namespace repl::run
