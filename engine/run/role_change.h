// role_change.h: what promote and demote are asked, and what they answer. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/position.h"

namespace repl::run {

struct PromoteRequest {
  bool force = false;    // in spite of what else would refuse it
  bool dry_run = false;  // says what it would do, and does nothing
};

struct RoleChange {
  struct Behind {
    std::string node;
    CutNumber durable;  // what it is known to have
  };
  Role was = Role::none;
  bool already = false;  // nothing had to be done
  Position position;     // afterwards
  // promote: paths that were held, and are the first changes of the new reign; bounded.
  std::vector<std::string> held;
  uint64_t held_count = 0;
  // demote: peers that do not have all that was changed here.
  std::vector<Behind> behind;
  std::vector<std::string> warnings;
};

struct SwitchoverCommand {
  std::string to;
  int64_t timeout_ms = 60'000;  // until it is handed over; then it rolls back
  bool dry_run = false;
  bool unguarded = false;  // although the guard does not reach everybody who may write
};
struct SwitchoverDone {
  std::string from;
  std::string to;
  Position position;  // as this node knows it afterwards
  double seconds = 0;
};

}  // namespace repl::run
