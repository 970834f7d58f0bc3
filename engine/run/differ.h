// differ.h: `repl diff`, and what a catch-up would change: this tree against a peer's, by listings
// (engine/send/diff_walk.h). Nothing is changed on either side.
//
// One at a time; a connection that ends ends it. Thread: the engine's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/run/session.h"
#include "engine/run/tree_parts.h"
#include "engine/send/diff_walk.h"

namespace repl::run {

struct DiffResult {
  std::string peer;
  std::vector<send::DiffItem> items;  // sorted by path; bounded
  send::DiffCounts counts;
};

class Differ {
 public:
  explicit Differ(TreeParts& parts) : parts_(parts) {}

  [[nodiscard]] bool busy() const { return walk_ != nullptr; }
  void begin(const Session& session, std::function<void(Result<DiffResult>)> answer);
  // Nothing if the message is no answer for it.
  [[nodiscard]] std::optional<Status> on_message(const Session& session, const Message& message);
  void step();
  void on_closed(const Session& session);

 private:
  void end(Result<DiffResult> result);
  TreeParts& parts_;
  const Session* session_ = nullptr;
  std::unique_ptr<send::DiffWalk> walk_;
  DiffResult result_;
  std::function<void(Result<DiffResult>)> answer_;
};

}  // namespace repl::run
