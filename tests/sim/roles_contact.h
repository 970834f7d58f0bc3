// roles_contact.h: what the simulator takes from engine/role/contact.h, in one place.
#pragma once

#include <optional>
#include <string>

#include "engine/role/contact.h"
#include "engine/role/node_state.h"

namespace repl::sim {

// May a primary at `self` send to the node that said `peer`, and may that node apply it?
struct Meeting {
  bool sends = false;
  bool applies = false;
  std::string held;  // for a person; empty: nothing is
};
[[nodiscard]] Meeting meet(const Hello& primary, const Hello& secondary);

// A primary that hears of a later one whose history contains its own is none any more.
[[nodiscard]] std::optional<role::NodeState> fenced_by(const Hello& self, const Hello& peer,
                                                       const role::NodeState& state);

}  // namespace repl::sim
