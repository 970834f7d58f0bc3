#include "engine/run/listing_answers.h"

#include <iterator>
#include <utility>

#include "engine/base/limits.h"
#include "engine/index/listing.h"

namespace repl::run {

std::optional<Status> ListingAnswers::on_message(const Session& session, const Message& message) {
  std::deque<Message> answers;
  if (const auto* list = std::get_if<ListDirectories>(&message); list != nullptr && list->diff) {
    for (const DirId dir : list->dirs) {
      list_directory(index_, dir, [&](DirectoryListing listing) {
        listing.diff = true;
        answers.emplace_back(std::move(listing));
      });
    }
  } else if (const auto* ask = std::get_if<AskKeys>(&message); ask != nullptr && ask->diff) {
    KeysAnswer known = keys_answer(index_, *ask);
    known.diff = true;
    if (ask->keys.empty()) {  // it only wants to know whether we are there: not behind a large file
      static_cast<void>(session.link->send(std::move(known), Lane::prompt));
      return Status();
    }
    answers.emplace_back(std::move(known));
  } else {
    return std::nullopt;
  }
  return answer(session, std::move(answers));
}

Status ListingAnswers::answer(const Session& session, std::deque<Message> messages) {
  Waiting& waiting = waiting_[&session];
  waiting.link = session.link;
  if (waiting.messages.size() + messages.size() > limits::diff_answers_waiting_max)
    return fail(ErrorCode::protocol, "it asks for more listings than it takes");
  std::ranges::move(messages, std::back_inserter(waiting.messages));
  send(waiting);
  return {};
}

void ListingAnswers::send(Waiting& waiting) {
  while (!waiting.messages.empty() && waiting.link->writable(Lane::bulk) > 0) {
    static_cast<void>(waiting.link->send(std::move(waiting.messages.front()), Lane::bulk));
    waiting.messages.pop_front();
  }
}

void ListingAnswers::pump() {
  for (auto& [session, waiting] : waiting_) send(waiting);
}

}  // namespace repl::run
