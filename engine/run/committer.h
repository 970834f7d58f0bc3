// committer.h: gets the index's pending changes onto the disk through the sync thread, soon but not
// at once, so that many cuts share a commit.
//
// Thread: the engine's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/run/sync_thread.h"
#include "engine/run/tree_parts.h"

namespace repl::run {

class Committer {
 public:
  // `before_freeze` puts into the index what must be durable together with what is pending.
  Committer(TreeParts& parts, SyncThread& sync, std::function<void()> before_freeze);

  // Takes a result, starts the next commit when one is due: of what is pending only if
  // `may_freeze`.
  void step(MonotonicTime now, bool may_freeze = true);
  [[nodiscard]] std::optional<MonotonicTime> deadline() const;
  // Waits for the commit under way and commits the rest.
  [[nodiscard]] Status flush();
  // The same at the end: what fails is said.
  void stop();
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  void take_result();
  TreeParts& parts_;
  SyncThread& sync_;
  std::function<void()> before_freeze_;
  std::shared_ptr<Index::Batch> batch_;
  StampValue frozen_;  // of that batch
  std::optional<MonotonicTime> due_;
  std::string error_;
};

}  // namespace repl::run
