// tree_event.h: what happens to a tree that a person, or the services above it, want to hear of.
//
// Thread: plain values.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/base/error.h"
#include "engine/base/ids.h"
#include "engine/model/position.h"

namespace repl::run {

struct TreeEvent {
  enum class Kind : uint8_t {
    promoted,  // this node became the primary by a command
    demoted,   // it ceases to be, or ceased to be
    held,      // something waits for a person: once for each time that it begins
    diverged,  // changes here, or on the peer, are in no common history
    synced,    // the peer has everything, after it had not
  };
  Kind kind = Kind::held;
  std::string peer;    // whom it concerns; empty: this node alone
  std::string reason;  // a sentence for a person; may be empty
  Epoch epoch;         // of this node, at that moment; so is the role
  Role role = Role::none;
};

// Called on the engine's thread; must not block.
using EventSink = std::function<void(const TreeEvent&)>;
// The same for a hook whose end somebody waits for: `done` is called once, on any thread.
using HookRunner = std::function<void(const TreeEvent&, std::function<void(const Status&)> done)>;

}  // namespace repl::run
