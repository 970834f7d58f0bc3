#include "engine/run/differ.h"

#include <algorithm>
#include <utility>

#include "engine/model/hash.h"

namespace repl::run {

void Differ::begin(const Session& session, std::function<void(Result<DiffResult>)> answer) {
  session_ = &session;
  answer_ = std::move(answer);
  result_ = DiffResult{.peer = session.peer, .items = {}, .counts = {}};
  const auto ask = [link = session.link](Message message) {
    if (auto* list = std::get_if<ListDirectories>(&message)) list->diff = true;
    if (auto* keys = std::get_if<AskKeys>(&message)) keys->diff = true;
    static_cast<void>(link->send(std::move(message), Lane::prompt));
  };
  walk_ = std::make_unique<send::DiffWalk>(
      *parts_.index, fingerprint_seed(parts_.options.name), ask,
      [this](send::DiffItem item) { result_.items.push_back(std::move(item)); });
  walk_->start();
}

std::optional<Status> Differ::on_message(const Session& session, const Message& message) {
  const auto* listing = std::get_if<DirectoryListing>(&message);
  const auto* answer = std::get_if<KeysAnswer>(&message);
  const bool for_diff =
      (listing != nullptr && listing->diff) || (answer != nullptr && answer->diff);
  if (!for_diff) return std::nullopt;
  if (!walk_ || &session != session_) return Status();  // of a walk that was given up
  Status done = listing != nullptr ? walk_->on_listing(*listing) : walk_->on_answer(*answer);
  if (!done) end(fail(done.error()));
  // More than may be compared is no breach.
  if (!done && done.error().code == ErrorCode::limit) return Status();
  return done;
}

void Differ::step() {
  if (!walk_) return;
  while (walk_->step()) {
  }
  if (!walk_->done()) return;
  result_.counts = walk_->counts();
  std::ranges::sort(result_.items, {}, &send::DiffItem::path);
  end(std::move(result_));
}

void Differ::on_closed(const Session& session) {
  if (walk_ && &session == session_)
    end(fail(ErrorCode::closed, "the connection was lost while the trees were compared"));
}

void Differ::end(Result<DiffResult> result) {
  walk_.reset();
  session_ = nullptr;
  std::exchange(answer_, {})(std::move(result));
}

}  // namespace repl::run
