// scrub.h: reads every file again, slowly, now and then: are the bytes still those that the index
// knows? What changed and left no event (a mapping that was written) is looked at again. What
// differs although neither size nor times do is bit rot.
//
// A pass goes on where it was after a restart (meta "scrub-at"). Files are read from the disk: what
// the page cache has of them is dropped before, unless it is dirty.
//
// Thread: the engine's. Bounds: limits::scrub_step_bytes a step; limits::holds_listed_max rotten
// paths are remembered by name.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/run/content_walk.h"
#include "engine/run/facts.h"
#include "engine/run/tree_parts.h"

namespace repl::run {

class Scrub {
 public:
  struct Found {
    std::function<void(const Key& key)> changed;
    std::function<void(const Key& key)> rotten;
  };
  Scrub(TreeParts& parts, Found found);

  [[nodiscard]] bool due(MonotonicTime now) const { return next_ && now >= *next_; }
  // When it is due. `rests`: nothing else reads or is waited for; then it reads a little.
  void step(MonotonicTime now, bool rests);
  [[nodiscard]] std::optional<MonotonicTime> deadline() const { return next_; }
  void describe(TreeFacts& facts) const;

 private:
  void begin_or_wait(MonotonicTime now);
  void take(const ContentWalk::Found& found);
  void end_pass(MonotonicTime now);
  void keep_place(MonotonicTime now);

  TreeParts& parts_;
  Found found_;
  std::unique_ptr<ContentWalk> walk_;
  std::optional<MonotonicTime> next_;  // unset: never
  MonotonicTime kept_at_{};
  int64_t began_ = 0;                // seconds of the wall clock; of the pass under way
  int64_t verified_ = 0;             // when the last whole pass began: everything was read since
  std::vector<std::string> rotten_;  // of the last pass and this one, escaped
  std::vector<std::string> rotten_now_;
};

}  // namespace repl::run
