// handover_sides.h: two nodes before a switchover, and what is asked of actions.
#pragma once

#include <string>

#include "engine/role/handover.h"
#include "tests/unit/role/reigns.h"

namespace repl::role {

inline constexpr MonotonicTime t0{};
inline constexpr Duration wait_max = std::chrono::seconds(30);
inline const Bits128 token{.high = 9, .low = 9};
inline const std::string p_name = "mgmt1";
inline const std::string s_name = "mgmt2";

inline Fingerprint print(uint64_t n) { return Fingerprint{{.high = n, .low = n}}; }

inline NodeState primary_state() {
  NodeState state = found_tree(reign(1));
  state.position.cut = CutNumber{5};
  return state;
}

inline NodeState secondary_state() {
  return follow(NodeState{}, primary_state().lineage, primary_state().position);
}

inline Readiness ready_peer() {
  return Readiness{.connected = true,
                   .features = feature_roles,
                   .same_policy = true,
                   .synced = true,
                   .exact = true};
}

inline TakerFacts good_facts() {
  return TakerFacts{.primary = p_name,
                    .following = reign(1),
                    .durable = primary_state().position,
                    .content = print(3),
                    .identity = print(4),
                    .synced = true};
}

template <typename T>
const T* find(const Actions& actions) {
  for (const Action& action : actions)
    if (const T* found = std::get_if<T>(&action)) return found;
  return nullptr;
}

// What is said; of several the last.
inline Handover said(const Actions& actions) {
  Handover out;
  out.reason = "nothing";
  for (const Action& action : actions)
    if (const Say* say = std::get_if<Say>(&action)) out = say->message;
  return out;
}

template <typename A, typename B>
bool in_order(const Actions& actions) {
  size_t a = actions.size();
  size_t b = actions.size();
  for (size_t i = 0; i < actions.size(); ++i) {
    if (std::holds_alternative<A>(actions[i])) a = i;
    if (std::holds_alternative<B>(actions[i])) b = i;
  }
  return a < b && b < actions.size();
}

}  // namespace repl::role
