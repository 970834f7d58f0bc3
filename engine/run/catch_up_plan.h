// catch_up_plan.h: what a catch-up would do here, before a person says yes. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/position.h"
#include "engine/run/differ.h"

namespace repl::run {

struct CatchUpPlan {
  // `following`: nothing keeps the primary's changes off, what differs is on its way.
  enum class State : uint8_t { following, diverged, joining };
  uint64_t id = 0;  // of this run of the tree; consent is given to it
  State state = State::following;
  std::string from;
  Position here;
  Position there;
  DiffResult diff;
  std::vector<bool> kept;  // of each item of `diff`: its version here would be kept aside
  uint64_t bytes = 0;      // to fetch, at most
  std::vector<std::string> warnings;
};

}  // namespace repl::run
